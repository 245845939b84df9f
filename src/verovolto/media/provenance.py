"""What a file says of where it comes from: EXIF, tags of its container, and C2PA. Nothing of it touches a verdict.

Anybody can write EXIF and tags, and remove everything. A manifest that is trusted says who signed for what; none says
nothing.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from PIL import ExifTags, Image

from verovolto.media.file_facts import container_tags
from verovolto.media.types import Limits, file_type_of

C2paState = Literal["trusted", "valid, signer not known", "broken", "none", "not read"]
READER = Path(__file__).with_name("c2pa_reader.py")
"""A program of its own."""
TIME_LIMIT_S = 20.0
_STATES: dict[str | None, C2paState] = {
    "Trusted": "trusted",
    "Valid": "valid, signer not known",
    "Invalid": "broken",
    None: "none",
}
_LONGEST = 200
_LABEL = b"c2pa"
_BLOCK = 1 << 20


@dataclass(frozen=True, kw_only=True)
class C2pa:
    """What a file's C2PA manifest comes to; `none` proves nothing, since every copy loses it easily.

    Attributes:
        state: `not read` where it could not be, with the reason in `why`.
        signer: who signed it, as its certificate says.
        made_by: what wrote it.
        why: what is wrong with it, or why it was not read.
    """

    state: C2paState
    signer: str | None = None
    made_by: str | None = None
    why: str | None = None


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """What a file says of itself.

    Attributes:
        camera: maker and model.
        software: what wrote it.
        created: when, in its own words: often local time, and easily changed.
        has_position: whether it holds a position (which is not repeated here).
        c2pa: its manifest.
    """

    camera: str | None = None
    software: str | None = None
    created: str | None = None
    has_position: bool = False
    c2pa: C2pa | None = None

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {**vars(self), "c2pa": None if self.c2pa is None else dict(vars(self.c2pa))}


def provenance_of(path: Path, limits: Limits, anchors: Path | None = None) -> Provenance:
    """What the file says of itself; empty where that cannot be read. Never an error.

    Args:
        path: of the file.
        limits: what opening it may cost.
        anchors: certificates in PEM whose signatures are trusted.
    """
    try:
        photo = file_type_of(path).category == "photo"
        found = _of_photo(path) if photo else _of_video(container_tags(path, limits))
    except Exception:  # hostile bytes raise nearly anything
        found = Provenance()
    return Provenance(**{**vars(found), "c2pa": c2pa_of(path, anchors)})


def _of_photo(path: Path) -> Provenance:
    with Image.open(path) as image:
        exif = image.getexif()
        inner = exif.get_ifd(ExifTags.IFD.Exif)
        position = bool(exif.get_ifd(ExifTags.IFD.GPSInfo))
    taken = inner.get(ExifTags.Base.DateTimeOriginal) or exif.get(ExifTags.Base.DateTime)
    return Provenance(
        camera=_joined(exif.get(ExifTags.Base.Make), exif.get(ExifTags.Base.Model)),
        software=_text(exif.get(ExifTags.Base.Software)),
        created=_text(taken),
        has_position=position,
    )


def _of_video(tags: Mapping[str, str]) -> Provenance:
    def tag(*names: str) -> str | None:
        return next((tags[name] for name in names if tags.get(name)), None)

    apple = "com.apple.quicktime."
    return Provenance(
        camera=_joined(tag(f"{apple}make", "make"), tag(f"{apple}model", "model", "com.android.model")),
        software=_text(tag(f"{apple}software", "software", "encoder")),
        created=_text(tag(f"{apple}creationdate", "creation_time", "date")),
        has_position=tag(f"{apple}location.iso6709", "location", "location-eng") is not None,
    )


def _joined(*parts: Any) -> str | None:
    """Maker and model, the maker once."""
    maker, model = (_text(part) for part in parts)
    if maker and model:
        return model if model.lower().startswith(maker.lower()) else f"{maker} {model}"
    return maker or model


def _text(value: Any) -> str | None:
    """A value as text of bounded length; None where it is empty."""
    shown = str(value).replace("\0", " ").strip() if value is not None else ""
    return shown[:_LONGEST] or None


def c2pa_of(path: Path, anchors: Path | None = None) -> C2pa:
    """The manifest of a file, read in a process of its own, within a time limit."""
    try:
        if not _mentions_c2pa(path):
            return C2pa(state="none")
    except OSError:
        return C2pa(state="not read", why="the file cannot be read")
    if find_spec("c2pa") is None:
        return C2pa(state="not read", why='there may be one: pip install "verovolto[provenance]" reads it')
    command = [sys.executable, "-I", str(READER), str(path.absolute())]
    command += [] if anchors is None else [str(anchors.absolute())]
    try:
        ended = subprocess.run(command, capture_output=True, timeout=TIME_LIMIT_S, check=False)
        return _answer(json.loads(ended.stdout))
    except OSError as error:
        return C2pa(state="not read", why=f"no process could be started to read it: {error.strerror}")
    except subprocess.TimeoutExpired:
        return C2pa(state="not read", why=f"it took longer than {TIME_LIMIT_S:g} s")
    except ValueError:
        return C2pa(state="not read", why=f"the program that read it ended with {ended.returncode}")


def _answer(answer: Mapping[str, Any]) -> C2pa:
    """What the reader's JSON says."""
    if "not_read" in answer:
        return C2pa(state="not read", why=_text(answer["not_read"]))
    if "problem" in answer:
        return C2pa(state="broken", why=_text(answer["problem"]))
    state = _STATES.get(answer["state"], "broken")
    why = ", ".join(str(code) for code in answer.get("failures", ())) or None
    return C2pa(
        state=state, signer=_text(answer.get("signer")), made_by=_text(answer.get("made_by")), why=_text(why)
    )


def _mentions_c2pa(path: Path) -> bool:
    """Whether the label that every embedded manifest has stands anywhere in the file.

    Read in blocks: a file that was mapped into memory and becomes shorter meanwhile would end the process.
    """
    end = b""
    with path.open("rb") as handle:
        while block := handle.read(_BLOCK):
            if _LABEL in end + block:
                return True
            end = block[1 - len(_LABEL) :]
    return False
