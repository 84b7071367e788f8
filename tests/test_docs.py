"""The documentation is true: its code runs, its configs are valid, its commands exist, its reference is current."""

from __future__ import annotations

import importlib.util
import inspect
import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from typer import Context
from typer.main import get_command

import mmsdk
from mmsdk import hookspecs
from mmsdk.cli import app
from mmsdk.plugins.registry import HOOKS, Registry
from mmsdk.testing.modality import KINDS
from tests.pages import BLOCK, DOCS, ROOT, Block, all_blocks, blocks

PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
ALL = [*PAGES, *sorted(DOCS.glob("*/**/*.md"))]
START = ["pip install uv && uv run mmsdk quickstart", "pip install uv && uv run pytest"]
WHOLE = DOCS / "tutorial.md"  # test_tutorial.py runs all of its blocks, one after the other
SHORTER = {"train": ["--set", "training.epochs=1"], "compare": ["--seeds", "1", "--set", "training.epochs=1"]}


def run(page: Path) -> dict[str, Any]:
    """Run the Python blocks of a page one after the other, in one namespace."""
    names: dict[str, Any] = {"__name__": page.stem}
    for block in blocks(page, "python"):
        exec(compile(block.code, block.place, "exec", dont_inherit=True), names)
    return names


def typed(page: Path, block: Block | None = None) -> Iterator[tuple[str, list[str]]]:
    """(place, words) of each command of mmsdk on a page that can be run where its reader is."""
    for each in blocks(page, "sh") if block is None else [block]:
        for line in each.code.splitlines() if not each.mark.startswith("only checked") else ():
            if line.startswith("mmsdk "):
                yield f"{each.place}: {line}", shlex.split(line, comments=True)[1:]


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as a reader has it: the table of your_own_data.md, the README's config, and a trained run."""
    folder = tmp_path_factory.mktemp("shop")
    (toy,) = (block for block in blocks(DOCS / "your_own_data.md", "python") if block.mark == "toy data")
    (config,) = blocks(ROOT / "README.md", "yaml")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        exec(compile(toy.code, toy.place, "exec", dont_inherit=True), {})
        Path("shop.yaml").write_text(config.code)
        mmsdk.train("shop.yaml", out="runs/shop", overrides=["training.epochs=1"], show=False)
    return folder


@pytest.fixture
def desk(shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh_registry: Registry) -> Path:
    """A copy of that folder to work in; what is registered there is gone afterwards."""
    monkeypatch.chdir(shutil.copytree(shop, tmp_path / "desk"))
    return tmp_path / "desk"


@pytest.mark.parametrize(
    "page", [page for page in DOCS.glob("*.md") if page != WHOLE and blocks(page, "python")], ids=name_of
)
def test_code_runs(page: Path, desk: Path) -> None:
    assert run(page)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("page", [page for page in PAGES if page != WHOLE and list(typed(page))], ids=name_of)
def test_commands_run(page: Path, desk: Path, cli: Callable[..., Any]) -> None:
    """Typed one after the other, between the page's Python; trainings are shortened. Other programs are not run."""
    names: dict[str, Any] = {"__name__": page.stem}
    for block in all_blocks(page):
        if block.language == "python":
            exec(compile(block.code, block.place, "exec", dont_inherit=True), names)
        elif block.language == "sh":
            for place, words in typed(page, block):
                result = cli(*words, *SHORTER.get(words[0], []))
                assert result.exit_code == 0, f"{place}\n{result.output}\n{result.stderr}\n{result.exception!r}"


def test_the_readme_predicts_what_it_says(desk: Path) -> None:
    names = run(ROOT / "README.md")
    assert f"# {names['result']['category'].value}" in blocks(ROOT / "README.md", "python")[0].code


def test_what_a_run_leaves_is_in_its_table(desk: Path) -> None:
    for folder, page in (("runs/shop", "training.md"), ("runs/shop/pipeline", "predict.md")):
        text = (DOCS / page).read_text(encoding="utf-8")
        missing = [path.name for path in (desk / folder).iterdir() if f"`{path.name}" not in text]
        assert not missing, page


@pytest.mark.parametrize("page", [page for page in ALL if blocks(page, "yaml")], ids=name_of)
def test_configs_are_valid(page: Path) -> None:
    """A block that is a part of a pipeline is tried in the README's one."""
    (readme,) = blocks(ROOT / "README.md", "yaml")
    yaml = YAML(typ="safe")
    for block in blocks(page, "yaml"):
        part = yaml.load(block.code)
        whole = part if {"streams", "heads"} <= set(part) else yaml.load(readme.code) | part
        try:
            mmsdk.load_config(whole)
        except mmsdk.ConfigError as error:
            pytest.fail(f"{block.place}: {error}")


def commands(page: Path) -> Iterator[tuple[str, list[str]]]:
    for block in blocks(page, "sh"):
        for line in block.code.splitlines():
            words = shlex.split(line, comments=True)
            if "mmsdk" in words:
                yield f"{block.place}: {line}", words[words.index("mmsdk") + 1 :]


def test_commands_are_found() -> None:
    assert sum(len(list(commands(page))) for page in ALL) > 20


@pytest.mark.parametrize("page", [page for page in ALL if list(commands(page))], ids=name_of)
def test_commands_exist_with_these_options(page: Path) -> None:
    group: Any = get_command(app)
    for place, words in commands(page):
        context = group.make_context("mmsdk", list(words))
        try:
            name, command, rest = group.resolve_command(context, list(words))
            command.make_context(name, rest, parent=context)
        except Exception as error:  # typer's own click raises types that are not public
            pytest.fail(f"{place}: {error}")


@pytest.mark.parametrize("page", ALL, ids=name_of)
def test_commands_in_the_text_exist(page: Path) -> None:
    ours = get_command(app)
    known = ours.list_commands(Context(ours))  # type: ignore[attr-defined]  # and those of plugins
    named = re.findall(r"`mmsdk ([a-z]+)", page.read_text(encoding="utf-8"))
    assert set(named) <= set(known)


def test_the_two_commands_stand_in_the_readme() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert all(line in lines for line in START)


def test_each_hook_stands_in_its_page_with_its_signature() -> None:
    text = (DOCS / "hooks.md").read_text(encoding="utf-8")
    for name in HOOKS.values():
        signature = str(inspect.signature(getattr(hookspecs, name))).replace("'", "")
        assert f"\n{name}{signature}\n" in text


def test_the_readme_names_every_component() -> None:
    core = Registry(found=[]).plugins[0]
    core.load()
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert not [name for own in core.components.values() for name in own if f"`{name}`" not in text]


def test_the_table_of_kinds_is_true() -> None:
    """Its kinds are those that the contracts know, with their keys; components stand where they belong."""
    rows = re.findall(r"^\| `(\w+)` \| (.*)$", (DOCS / "kinds.md").read_text(encoding="utf-8"), re.M)
    assert {kind for kind, _ in rows} == set(KINDS)
    here = Registry()
    for kind, row in rows:
        keys, *_ = row.split(" | ")
        assert all(f"`{key}`" in keys for key in KINDS[kind]), kind
        given = {name for name, each in here.all("modality").items() if each.gives == kind}
        read = {name for name, each in here.all("encoder").items() if kind in each.reads}
        assert not [name for name in given | read if f"`{name}`" not in row], kind


def test_every_plugin_stands_in_the_table_of_plugins() -> None:
    text = (DOCS / "plugins.md").read_text(encoding="utf-8")
    assert not [path.name for path in (ROOT / "plugins").glob("*/") if f"| `{path.name}` |" not in text]


def test_every_command_stands_in_the_page_of_commands() -> None:
    text = (DOCS / "cli.md").read_text(encoding="utf-8")
    assert not [name for name in get_command(app).list_commands(None) if f"\n## mmsdk {name}\n" not in text]  # type: ignore[arg-type]


def test_the_reference_is_current(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(DOCS)
    spec = importlib.util.spec_from_file_location("write_reference", DOCS / "write_reference.py")
    assert spec is not None and spec.loader is not None
    reference = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(reference)
    for path, text in reference.pages().items():
        assert path.read_text(encoding="utf-8") == text, "run: uv run poe docs"


@pytest.mark.parametrize("page", ALL, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", BLOCK.sub("", page.read_text(encoding="utf-8"))):
        if "://" in target:
            continue
        path, _, heading = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), target
        if heading:
            assert heading in headings(linked), target


def headings(page: Path) -> set[str]:
    """The anchors of a page, as Markdown renderers name them."""
    lines = re.findall(r"^#+ (.+)$", BLOCK.sub("", page.read_text(encoding="utf-8")), re.M)
    return {re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-") for line in lines}


def test_the_page_of_fusions_tells_when_to_take_each() -> None:
    core = Registry(found=[]).plugins[0]
    core.load()
    text = (DOCS / "fusion.md").read_text(encoding="utf-8")
    told = re.findall(r"^\| `(\w+)` \|", re.sub(r"<!-- table.*?<!-- end -->", "", text, flags=re.DOTALL), re.M)
    assert sorted(told) == sorted(core.components["fusion"])
