"""Detectors from and to a model hub, as `Detector.from_pretrained`, `save_pretrained` and `push_to_hub` have it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

from verovolto.core.files import write_text
from verovolto.detectors.base import Detector, load_detector
from verovolto.detectors.hub import locate, push
from verovolto.detectors.model_card import CARD, LICENCES, README, check_licence, readme, texts_beside


def from_pretrained(
    path_or_id: str | Path,
    *,
    revision: str | None,
    local_files_only: bool,
    cache_dir: str | Path | None,
    device: str,
) -> Detector:
    """See `Detector.from_pretrained`.

    Args:
        path_or_id: a shipped name, a folder, or `OWNER/NAME`.
        revision: branch, tag or commit.
        local_files_only: ask nobody.
        cache_dir: where fetched detectors are kept.
        device: where the arithmetic is done.
    """
    folder, origin = locate(
        path_or_id, revision=revision, local_files_only=local_files_only, cache_dir=cache_dir
    )
    detector = load_detector(folder, device)
    if origin is not None:
        detector.metadata = {**detector.metadata, "hub": asdict(origin)}
    return detector


def save_pretrained(detector: Detector, folder: Path, *, licence: str | None) -> Path:
    """See `Detector.save_pretrained`."""
    detector.save(folder)
    texts = texts_beside(detector.folder)
    for name, text in texts.items():
        write_text(folder / name, text)
    stated = licence or next((name for name in LICENCES if name in texts), detector.metadata.get("licence"))
    calibration = detector.calibration.get(detector.default_score)
    card = readme(
        detector.name or detector.kind, detector.metadata, calibration, card=texts.get(CARD), licence=stated
    )
    write_text(folder / README, card)
    return folder


def push_to_hub(
    detector: Detector, repository: str, *, licence: str | None, private: bool, message: str | None
) -> str:
    """See `Detector.push_to_hub`.

    Args:
        detector: it is sent.
        repository: `OWNER/NAME`.
        licence: of the weights.
        private: whether a new repository is for its owner alone.
        message: of the commit.
    """
    with TemporaryDirectory() as place:
        folder = save_pretrained(detector, Path(place) / "detector", licence=licence)
        check_licence(folder)
        return push(folder, repository, private=private, message=message).commit
