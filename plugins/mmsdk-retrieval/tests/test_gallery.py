"""A page of results: pictures inside, everything escaped, nothing from outside."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from mmsdk import DataError, Pipeline
from mmsdk_retrieval import Hit, Index, write_gallery

EVIL = "<script>alert('x')</script>"


class Tags(HTMLParser):
    """The tags of a page with their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def images(page: str) -> list[Image.Image]:
    data = re.findall(r'src="data:image/png;base64,([^"]*)"', page)
    return [Image.open(BytesIO(base64.b64decode(each))) for each in data]


def test_a_page_holds_queries_hits_and_their_pictures(
    index: Index, pipeline: Pipeline, squares: Path, tmp_path: Path
) -> None:
    queries = [{"text": "a red square"}, {"image": str(squares.parent / "blue.png")}]
    hits = index.search(pipeline, queries, within="image", k=3)
    path = write_gallery(tmp_path / "page.html", hits, queries, within="image", pictures=["image"])
    page = path.read_text(encoding="utf-8")
    seen = images(page)
    assert len(seen) == 4 and seen[0].getpixel((4, 4)) == (30, 30, 220, 255)
    assert all(f"{hit.rank}. {hit.id}" in page for hit in hits) and "a red square" in page
    tags = Tags(page).found
    assert [tag for tag, _ in tags].count("li") == 5
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in tags}
    assert all(str(own.get("src", "data:")).startswith("data:") and "href" not in own for _, own in tags)


def test_nothing_in_a_value_becomes_markup(tmp_path: Path) -> None:
    values = {
        EVIL: EVIL,
        "caption": f'"><img src=x onerror=alert(1)> {EVIL}',
        "image": f"{EVIL}.png",
        "other": {"a": [EVIL]},
        "half": "\ud83d",
    }
    hits = [Hit(1, EVIL, 0.5, values)]
    page = write_gallery(tmp_path / "page.html", hits, [{"text": EVIL}], within=EVIL, pictures=["image"]).read_text()
    tags = {tag for tag, _ in Tags(page).found}
    assert not tags & {"script", "img"}
    assert "<script" not in page and page.count("&lt;script&gt;") >= 6


def test_what_is_no_picture_is_not_put_into_the_page(tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_text("the secret")
    Image.new("RGB", (2, 2), "red").save(tmp_path / "small.tiff")
    hits = [Hit(n, str(n), 0.5, {"image": str(tmp_path / name)}) for n, name in enumerate(["secret.png", "small.tiff"])]
    page = write_gallery(tmp_path / "page.html", hits, [], within="image", pictures=["image"]).read_text()
    assert not images(page) and page.count("no picture:") == 2
    assert base64.b64encode(b"the secret").decode() not in page


def test_large_pictures_are_made_small(tmp_path: Path) -> None:
    Image.new("RGB", (1000, 500), "red").save(tmp_path / "large.jpg")
    hits = [Hit(1, "1", 0.5, {"image": str(tmp_path / "large.jpg")})]
    page = write_gallery(tmp_path / "page.html", hits, [], within="image", pictures=["image"]).read_text()
    assert images(page)[0].size == (192, 96)
    with pytest.raises(DataError, match=r"nowhere/page\.html: cannot be written"):
        write_gallery(tmp_path / "nowhere/page.html", hits, [], within="image")
