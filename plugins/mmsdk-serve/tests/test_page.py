"""The page at /, in a real browser: any stream empty, errors, shares; nothing from outside, nothing on the console."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import soundfile

import mmsdk
from mmsdk_retrieval import Index

sync_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")


@pytest.fixture
def address(listening: Any, pipeline: mmsdk.Pipeline) -> Iterator[str]:
    with listening({"shop": pipeline}) as address:
        yield address


@pytest.fixture
def locked(listening: Any, pipeline: mmsdk.Pipeline) -> Iterator[str]:
    with listening({"shop": pipeline}, key="k" * 32) as address:
        yield address


@pytest.fixture
def gallery(listening: Any, pipeline: mmsdk.Pipeline, seeking: mmsdk.Pipeline, index: Index) -> Iterator[str]:
    pipelines = {"shop": pipeline, "squares": seeking}
    with listening(pipelines, key="k" * 32, indexes={"squares": index}) as address:
        yield address


@pytest.fixture
def page() -> Iterator[Any]:
    with opened() as page:
        yield page


@contextmanager
def opened(*options: str) -> Iterator[Any]:
    """A page of the browser; whatever reaches its console, or asks for something outside, fails the test."""
    wrong: list[str] = []
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", *options])
        page = browser.new_page(viewport={"width": 1000, "height": 700})
        page.set_default_timeout(20_000)
        page.on("console", lambda message: wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda request: None if _own(request.url) else wrong.append(request.url))
        yield page
        browser.close()
    assert [line for line in wrong if "401" not in line and "422" not in line] == []


def _own(url: str) -> bool:
    return url.startswith(("http://127.0.0.1", "data:", "blob:"))


def test_every_stream_then_one_empty_then_an_error(
    page: Any, address: str, tmp_path: Path, png: Callable[..., bytes], pipeline: mmsdk.Pipeline
) -> None:
    picture = tmp_path / "there.png"
    picture.write_bytes(png(200, 64))
    page.goto(address)
    page.fill("textarea[name=title]", "a red thing")
    page.fill("input[name=price]", "3")
    page.set_input_files("input[name=file-photo]", picture)
    page.click("text=Predict")
    page.wait_for_selector(".said")
    (right,) = pipeline.predict([{"photo": picture.read_bytes(), "title": "a red thing", "price": 3.0}])
    assert page.inner_text(".said") == right["kind"].value
    bars = [text.split()[0] for text in page.locator(".bar").all_inner_texts()]
    assert sorted(bars[:2]) == ["a", "b"] and bars[2:] == ["photo", "title", "facts"]
    shot(page, "all")
    page.click("text=Leave empty")
    page.click("text=Predict")
    sync_api.expect(page.locator(".bar")).to_have_count(4)  # two labels, two shares
    shot(page, "absent")
    picture.write_bytes(b"no picture")
    page.set_input_files("input[name=file-photo]", picture)
    page.click("text=Predict")
    page.wait_for_selector("[role=alert]")
    assert "photo" in page.inner_text("[role=alert]")
    shot(page, "error")


def test_nothing_at_all_is_told_without_a_request(page: Any, address: str) -> None:
    page.goto(address)
    page.click("text=Predict")
    assert "at least one" in page.inner_text("[role=alert]")


def test_the_key_is_asked_for(page: Any, locked: str) -> None:
    page.goto(locked)
    page.fill("#key", "k" * 32)
    page.click("text=Enter")
    page.fill("textarea[name=title]", "a red thing")
    page.click("text=Predict")
    page.wait_for_selector(".said")


def test_a_gallery_by_text_then_by_a_picture(
    page: Any, gallery: str, index: Index, seeking: mmsdk.Pipeline, seeker: Path
) -> None:
    page.goto(gallery)
    page.fill("#key", "k" * 32)
    page.click("text=Enter")
    page.select_option("select[aria-label=pipeline]", "squares")
    assert page.locator("text=Predict").count() == 0
    page.fill("textarea[name=caption]", "a red square")
    page.click("button:has-text('Search')")
    page.wait_for_selector("figure")
    hits = index.search(seeking, {"text": "a red square"})
    assert told(page) == [f"{hit.rank}. {hit.id} {hit.score:.3f} {hit.values['caption']} 500" for hit in hits]
    for place in range(len(hits)):
        sync_api.expect(page.locator("figure img").nth(place)).to_have_js_property("naturalWidth", 256)
    shot(page, "gallery")
    page.fill("textarea[name=caption]", "")
    page.set_input_files("input[name=file-image]", seeker.with_name("blue.png"))
    page.select_option("select[aria-label='Search in']", "image")
    page.click("button:has-text('Search')")
    sync_api.expect(page.locator("figure b").first).to_have_text("1. blue")
    shot(page, "gallery_by_picture")


@pytest.mark.parametrize("frequency", [300, 2000])
def test_what_is_recorded_is_predicted(
    listening: Any, hearing: mmsdk.Pipeline, tone: Any, tmp_path: Path, monkeypatch: Any, frequency: float
) -> None:
    """Through the browser's microphone, which plays a file, over and over."""
    (tmp_path / "microphone.wav").write_bytes(tone(frequency, seconds=5, rate=48_000))
    received: list[bytes] = []
    predict = hearing.predict

    def noted(samples: list[dict[str, Any]], **options: Any) -> Any:
        received.extend(each["sound"] for each in samples)
        return predict(samples, **options)

    monkeypatch.setattr(hearing, "predict", noted)
    microphone = f"--use-file-for-fake-audio-capture={tmp_path / 'microphone.wav'}"
    options = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream", microphone]
    with listening({"tones": hearing}) as address, opened(*options) as page:
        page.goto(address)
        page.click("text=Record")
        page.wait_for_timeout(1200)
        page.click("text=Stop")
        sync_api.expect(page.locator(".drop")).to_contain_text("recorded.wav")
        page.click("text=Predict")
        page.wait_for_selector(".said")
        shot(page, f"recorded_{frequency}")
        assert page.inner_text(".said") == ("low" if frequency == 300 else "high")
    samples, rate = soundfile.read(io.BytesIO(received[0]))
    assert received[0][:4] == b"RIFF" and 0.5 < len(samples) / rate < 5 and abs(samples).max() > 0.1


def told(page: Any) -> list[str]:
    return [" ".join(text.split()) for text in page.locator("figcaption").all_inner_texts()]


def shot(page: Any, name: str) -> None:
    """A picture to look at, where MMSDK_SHOTS names a folder."""
    folder = os.environ.get("MMSDK_SHOTS")
    if folder:
        page.screenshot(path=Path(folder) / f"{name}.png")
