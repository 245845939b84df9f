"""The page in a real Chromium: upload, progress, verdict, seeking, bundle, an error, a cancelled scan, a phone.

Run by `VEROVOLTO_BROWSER=1 python -m pytest tests/service/test_browser.py`, where Chromium and the package playwright
are installed; `.ci/run` tries to. Screenshots go where VEROVOLTO_SCREENSHOTS says.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

if not os.environ.get("VEROVOLTO_BROWSER"):
    pytest.skip("the browser is asked for with VEROVOLTO_BROWSER=1", allow_module_level=True)
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
if CHROMIUM is None:
    pytest.skip("there is no Chromium here", allow_module_level=True)
playwright = pytest.importorskip("playwright.sync_api", reason="the package playwright is not installed")

from tests.conftest import Command  # noqa: E402
from tests.scanning.drawn import ODD, film, walk  # noqa: E402
from tests.service.test_jobs import Server  # noqa: E402

WAIT_MS = 300_000
"""A worker's first scan loads everything, on a busy machine."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    found = Server(tmp_path_factory.mktemp("browser"))
    yield found
    found.kill()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def page(browser: Any, server: Server) -> Iterator[Any]:
    """A page whose every error in the console, and every request to elsewhere, fails the test."""
    context = browser.new_context(base_url=str(server.client.base_url), accept_downloads=True)
    opened, wrong = context.new_page(), []
    opened.set_default_timeout(WAIT_MS)
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    base = str(server.client.base_url)
    opened.on(
        "request",
        lambda asked: wrong.append(asked.url) if not asked.url.startswith((base, "data:", "blob:")) else None,
    )
    yield opened
    context.close()
    assert not [each for each in wrong if "Failed to load resource" not in each]


def shot(page: Any, name: str) -> None:
    folder = os.environ.get("VEROVOLTO_SCREENSHOTS")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=str(Path(folder) / f"{name}.png"), full_page=True)


def upload(page: Any, *files: Path) -> None:
    page.goto("/")
    page.set_input_files("#chosen", [str(file) for file in files])
    page.click("#go")
    page.wait_for_url("**/scans/*")


def test_from_a_video_to_a_bundle_that_verifies(page: Any, tmp_path: Path, command_line: Command) -> None:
    clip = film(tmp_path / "a clip.mp4", walk(24, level=ODD), rate=8)
    page.goto("/")
    assert page.locator(".promise:visible li").count() > 1  # what a verdict is worth comes before any upload
    page.select_option("#choice", label="1 %")
    assert "1 %" in page.locator(".promise:visible").inner_text()
    page.select_option("#choice", label="5 %")
    shot(page, "start")
    upload(page, clip)
    page.wait_for_selector(".headline")
    assert "uspect" in page.locator(".headline").inner_text()
    shot(page, "verdict")
    line = page.locator(".timeline")
    box = line.bounding_box()
    line.click(position={"x": box["width"] * 0.66, "y": box["height"] / 2})
    clicked = page.evaluate("document.querySelector('video').currentTime")
    assert 1.4 < clicked < 2.6  # of three seconds
    line.focus()
    page.keyboard.press("ArrowLeft")
    assert page.evaluate("document.querySelector('video').currentTime") < clicked
    assert "score" in line.get_attribute("aria-valuetext")
    page.keyboard.press("Home")
    page.check("#blur")
    assert "blur" in page.evaluate("getComputedStyle(document.querySelector('img.face')).filter")
    with page.expect_download() as download:
        page.click("text=Bundle")
    download.value.save_as(tmp_path / "bundle.zip")
    code, out, _ = command_line("verify", tmp_path / "bundle.zip", clip)
    assert code == 0, out
    page.click("text=Copy as text")
    page.wait_for_selector("#status:not(:empty)")  # a function in words is against the page's policy
    page.goto("/")
    assert page.locator("#history-list a").first.inner_text() == "a clip.mp4"


def test_a_token_is_asked_for_once(browser: Any, tmp_path: Path) -> None:
    guarded = Server(tmp_path, "open sesame")
    context = browser.new_context(base_url=str(guarded.client.base_url))
    try:
        page = context.new_page()
        page.goto("/")
        page.fill("#token", "wrong")
        page.click("button")
        page.wait_for_selector("text=That is not the token")
        page.fill("#token", "open sesame")
        page.click("button")
        page.wait_for_selector("#chosen", state="attached")
        page.reload()
        assert page.locator("#go").count() == 1
    finally:
        context.close()
        guarded.kill()


def test_text_that_is_called_a_video(page: Any, tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    upload(page, tmp_path / "text.mp4")
    page.wait_for_selector("text=Not scanned")
    assert "not a photo or a video" in page.locator("main").inner_text()
    shot(page, "error")


def test_a_scan_is_cancelled(page: Any, tmp_path: Path) -> None:
    clip = film(tmp_path / "slow.mp4", walk(3))
    upload(page, clip)
    page.wait_for_selector("#cancel")
    page.wait_for_function(
        "document.querySelector('#progress').value > 0 || document.querySelector('#status').textContent"
    )
    shot(page, "progress")
    page.click("#cancel")
    page.wait_for_selector("text=The scan was cancelled")
    shot(page, "cancelled")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone(browser: Any, server: Server, tmp_path: Path, scheme: str) -> None:
    context = browser.new_context(
        base_url=str(server.client.base_url), viewport={"width": 360, "height": 740}, color_scheme=scheme
    )
    page = context.new_page()
    page.set_default_timeout(WAIT_MS)
    clip = film(
        tmp_path / f"a rather long name of a clip that was sent around {scheme}.mp4", walk(8, level=ODD)
    )
    upload(page, clip)
    page.wait_for_selector(".headline")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    shot(page, f"phone-{scheme}")
    page.goto("/")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    context.close()


def test_everything_is_reached_by_keyboard(page: Any) -> None:
    page.goto("/")
    reached = []
    for _ in range(12):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.className"))
    assert {"skip", "chosen", "choice", "fps", "faces", "no-faces"} <= set(reached)
    unlabelled = page.evaluate(
        "[...document.querySelectorAll('input, select, button')].filter(e => !(e.labels && e.labels.length) && "
        "!e.getAttribute('aria-label') && !e.textContent.trim()).map(e => e.outerHTML)"
    )
    assert unlabelled == []
