"""What all tests share: one thread, drawn faces, shape checks at run time."""

from __future__ import annotations

import csv
import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import settings
from jaxtyping import install_import_hook
from PIL import Image, ImageDraw, ImageFilter

CHECKED = [
    f"verovolto.{room}"
    for room in ("calibration", "detectors", "experimental", "features", "networks", "scanning")
]
# Checks the shapes that annotations promise; installed before anything of these packages is imported.
install_import_hook(["verovolto.networks", "verovolto.detectors"], "beartype.beartype")

torch.set_num_threads(1)

# No test is timed: a busy machine is no failure. Where a change is judged, the same examples are tried every time.
settings.register_profile("verovolto", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("verovolto")


def draw_face(seed: int, *, size: int = 64, smooth: bool = False) -> Image.Image:
    """A cartoon face with random colours, place and grain; `smooth` takes the grain away, as a forgery might."""
    random = np.random.default_rng(seed)
    ground, skin, eye = (tuple(int(v) for v in random.integers(0, 256, 3)) for _ in range(3))
    image = Image.new("RGB", (size, size), ground)
    draw = ImageDraw.Draw(image)
    x, y = (int(v) for v in random.integers(-size // 12, size // 12 + 1, 2))
    draw.ellipse([size * 0.15 + x, size * 0.05 + y, size * 0.85 + x, size * 0.95 + y], fill=skin)
    for side in (0.35, 0.65):
        draw.ellipse(
            [size * (side - 0.07) + x, size * 0.35 + y, size * (side + 0.07) + x, size * 0.45 + y], fill=eye
        )
    draw.arc([size * 0.35 + x, size * 0.6 + y, size * 0.65 + x, size * 0.8 + y], 0, 180, fill=eye, width=2)
    if smooth:
        return image.filter(ImageFilter.GaussianBlur(1.5))
    grain = random.normal(0, 12, (size, size, 1))
    return Image.fromarray(np.clip(np.asarray(image) + grain, 0, 255).astype(np.uint8))


def jpeg(image: Image.Image, quality: int = 90) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality)
    return out.getvalue()


def write_set(folder: Path, *, train: int = 24, people: int = 12) -> Path:
    """A face set with a manifest: `train` reals; val and test with `people` people each, two reals and two fakes
    of each person, tied in pairs."""
    rows = []

    def add(split: str, label: str, number: int, identity: str, pair: str) -> None:
        path = folder / split / label / f"{number:03d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(draw_face(number, smooth=label == "fake")))
        video = f"{split}{number}"
        rows.append([str(path.relative_to(folder)), label, split, video, identity, pair])

    for i in range(train):
        add("train", "real", i, f"train{i // 2}", "")
    for base, split in ((1000, "val"), (2000, "test")):
        for i in range(2 * people):
            for label in ("real", "fake"):
                add(split, label, base + i, f"{split}{i // 2}", f"{split}-pair{i}")
    with (folder / "manifest.csv").open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["path", "label", "split", "source_video", "identity", "pair"])
        writer.writerows(rows)
    return folder


def full_disk(folder: Path) -> Callable[[Path], AbstractContextManager[Path]]:
    """A stand-in for `atomic_path` whose file is on a full disk (skips the test where /dev/full is not known)."""
    if not Path("/dev/full").is_char_device():
        pytest.skip("there is no /dev/full here")

    @contextmanager
    def on_full_disk(_path: Path) -> Iterator[Path]:
        # A link, so that what replaces files instead of writing them cannot harm the device.
        (folder / "full").symlink_to("/dev/full")
        yield folder / "full"

    return on_full_disk


@pytest.fixture(autouse=True)
def _same_numbers_every_time() -> None:
    """Networks and inputs that a test does not seed itself are the same in every run."""
    torch.manual_seed(0)


Command = Callable[..., tuple[int, str, str]]
"""Runs `verovolto WORDS` in this process: exit code, standard output, standard error."""


@pytest.fixture
def command_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """See `Command`."""
    from verovolto import cli

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["verovolto", *map(str, words)])
        monkeypatch.setattr(cli.app, "config", ())
        with pytest.raises(SystemExit) as left:
            cli.main()
        shown = capsys.readouterr()
        return int(left.value.code or 0), shown.out, shown.err

    return run


@pytest.fixture(scope="session")
def face_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small drawn face set; do not write into it."""
    return write_set(tmp_path_factory.mktemp("faces"))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data, or a skip that says how to have it."""
    folder = os.environ.get("VEROVOLTO_DATA")
    if not folder:
        pytest.skip("real data is not here: set VEROVOLTO_DATA to its folder")
    return Path(folder)
