"""The documentation site: every page is in its navigation, no link is broken, and nothing is asked for from outside."""

from __future__ import annotations

import importlib.util
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.pages import DOCS, ROOT

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def _module() -> Any:
    spec = importlib.util.spec_from_file_location("build_site", DOCS / "build_site.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


build_site = _module()


def entries(part: Any) -> Iterator[str]:
    """The pages in a navigation."""
    for each in part if isinstance(part, list) else part.values():
        yield from [each] if isinstance(each, str) else entries(each)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("zensical")
    folder = tmp_path_factory.mktemp("site")
    done = build_site.build(folder)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"
    assert "arning" not in done.stdout + done.stderr
    return folder / "site"


def test_every_page_is_in_the_navigation_once() -> None:
    """A new page needs a link in docs/index.md."""
    found = list(entries(build_site.navigation()))
    assert sorted(found) == sorted(path.relative_to(ROOT).as_posix() for path in build_site.pages())


def test_sections_are_those_of_the_index() -> None:
    first, *sections = (next(iter(section)) for section in build_site.navigation())
    assert first == "mmsdk"
    assert sections == re.findall(r"^## (.+)$", (DOCS / "index.md").read_text(encoding="utf-8"), re.M)


def test_every_page_is_built_and_loads_nothing_from_outside(site: Path) -> None:
    """Links may lead outside; what a page loads may not come from there."""
    for page in build_site.pages():
        built = page.relative_to(ROOT).with_suffix(".html")
        built = built.with_name("index.html") if page.stem == "README" else built
        text = (site / built).read_text(encoding="utf-8")
        loads = re.findall(r"<(?:script|img|iframe|source|link)\b[^>]*?\b(?:src|href)=[\"']?(?:https?:)?//[^>]*", text)
        assert not loads, page


@pytest.mark.slow
def test_a_broken_link_ends_the_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("zensical")
    lay_out = build_site.lay_out

    def with_a_mistake(folder: Path) -> None:
        lay_out(folder)
        with (folder / "pages" / "docs" / "concepts.md").open("a", encoding="utf-8") as file:
            file.write("\n[nowhere](nowhere.md)\n")

    monkeypatch.setattr(build_site, "lay_out", with_a_mistake)
    assert build_site.build(tmp_path).returncode != 0


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")
def test_a_browser_asks_for_nothing_outside(site: Path) -> None:
    sync_api = pytest.importorskip("playwright.sync_api")
    asked: list[str] = []
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        page.on("request", lambda request: asked.append(request.url))
        for name in ("index.html", "docs/index.html", "docs/concepts.html", "docs/components/fusions/gated.html"):
            page.goto((site / name).as_uri())
            page.wait_for_load_state("load")
        browser.close()
    assert len(asked) > 8
    assert not [url for url in asked if not url.startswith(("file:", "data:", "blob:"))]
