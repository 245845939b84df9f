"""Take the README's picture of the demonstration, after `make demo`: the page of its scan, down to the first face.

    python tools/demo_picture.py [PAGE] [OUT]    # demo/scan/default/report.html, docs/demo-scan.png

It needs Chromium and the package playwright, beside Pillow: `tools/optional.sh` says how they are found.
"""

from __future__ import annotations

import io
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[1]
WIDTH, MARGIN, COLOURS = 1000, 16, 128


def picture(page: Path) -> Image.Image:
    """The page as Chromium shows it, from its top to the pictures of the first file's first face."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        shown = browser.new_page(viewport={"width": WIDTH, "height": 800})
        shown.goto(page.resolve().as_uri())
        box = shown.locator(".key-frames").first.bounding_box()
        assert box is not None, f"{page} shows no face"
        height = box["y"] + box["height"] + MARGIN
        taken = shown.screenshot(full_page=True, clip={"x": 0, "y": 0, "width": WIDTH, "height": height})
        browser.close()
    return Image.open(io.BytesIO(taken))


if __name__ == "__main__":
    page = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "demo/scan/default/report.html"
    out = Path(sys.argv[2]) if len(sys.argv) > 2 else ROOT / "docs/demo-scan.png"
    picture(page).convert("RGB").quantize(COLOURS).save(out, optimize=True)
    print(out)
