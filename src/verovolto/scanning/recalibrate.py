"""Somebody's own photographs and videos of real people: the calibration of a detector, or a test of its promise."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from verovolto.calibration.thresholds import share_interval
from verovolto.core.errors import CalibrationError, DataError, InputError
from verovolto.core.files import check_new
from verovolto.data.crop_rule import CropRule
from verovolto.data.faceset import FaceSet
from verovolto.data.layouts.registry import recognise
from verovolto.data.splits import cluster_ids
from verovolto.detectors.base import Detector
from verovolto.detectors.calibrate import FEWEST_OF_SOURCE, FEWEST_PEOPLE, calibrated_anew
from verovolto.preparation.pipeline import prepare
from verovolto.scanning.result import Scan
from verovolto.scanning.settings import FPS, rule_of

OnProgress = Callable[[int, int], None]


def recalibrate(
    detector: Detector,
    reals: Sequence[Path],
    out: Path,
    *,
    fps: float = FPS,
    crop: CropRule | None = None,
    workers: int | None = 0,
    on_progress: OnProgress = lambda done, total: None,
) -> Detector:
    """Give a detector thresholds, p-values and a domain of other real faces, and write it.

    The score stays as it is. What is promised then holds for media like those given; of several folders, each a source
    of its own, for the worst. The known fakes of the former calibration still say how many fakes pass.

    Args:
        detector: as it was; it is changed.
        reals: folders of photographs and videos of real people, or face sets cut by the detector's rule.
        out: the new detector's folder, new or empty; what is being computed lies beside it until all is done.
        fps: frames looked at a second of video.
        crop: rule of the detector's crops, where it does not say.
        workers: processes that cut faces; None for one a core.
        on_progress: called with the media done and how many there are, of each folder.

    Raises:
        InputError: folders that cannot be used.
        CalibrationError: too few faces, or too few people.
    """
    check_new(out)
    work = out.parent / f".{out.name}.work"
    rule = rule_of(detector, crop)
    sets = [
        _faces(path, work / f"{number}-{path.name}", rule, fps, workers, on_progress)
        for number, path in enumerate(reals)
    ]
    faces = FaceSet.join(sets)
    check_enough(faces)
    before = detector.calibration.get(detector.default_score)
    named = ", ".join(str(path) for path in reals)
    detector.calibration, detector.thresholds = {}, []
    detector.metadata.pop("left_out", None)  # it was found with the former calibration
    detector = calibrated_anew(detector, faces, before, seed=None, named=named)
    detector.save(out)
    shutil.rmtree(work, ignore_errors=True)
    return detector


def _faces(
    path: Path, work: Path, rule: CropRule, fps: float, workers: int | None, on_progress: OnProgress
) -> FaceSet:
    """The faces of a folder, cut by a rule; a face set as it is."""
    if not path.is_dir():
        raise InputError(f"{path} is not a folder", hint="give folders of photographs and videos to --reals")
    if (path / "prepare.json").is_file() or any(path.glob("*.parquet")):
        try:
            return FaceSet.open(path).seen_by(rule.to_dict())
        except InputError as error:
            raise InputError(
                f"{path}: {error.message}",
                hint="give the folder of the photographs and videos to --reals",
            ) from error
    prepare(
        path, work, label=None if _has_layout(path) else "real", fps=fps, crop=rule, face_detector=rule.detector,
        workers=workers, one_class=True, on_progress=on_progress,
    )  # fmt: skip
    return FaceSet.open(work)


def _has_layout(path: Path) -> bool:
    try:
        recognise(path)
    except DataError:
        return False
    return True


def check_enough(faces: FaceSet) -> None:
    """Refuse what no promise can be made on."""
    table = faces.columns()
    real = np.asarray(table["label"].to_pylist()) == "real"
    people = len(np.unique(cluster_ids(table)[real]))
    if real.sum() < FEWEST_OF_SOURCE or people < FEWEST_PEOPLE:
        raise CalibrationError(
            f"{real.sum()} real faces of {people} people, videos or photographs are too few to calibrate on",
            hint=f"give {FEWEST_OF_SOURCE} faces of {FEWEST_PEOPLE} people or more to --reals",
        )


@dataclass(frozen=True, kw_only=True)
class Realised:
    """What became of real files of one kind: how many were called suspect, and of how many nothing could be told.

    Attributes:
        kind: `photo` or `video`.
        suspect: files called suspect.
        cannot_tell: files of which nothing could be told.
        judged: files with a verdict, `suspect` among them.
        low: lower end of the 95 % interval of the share of suspect ones (Clopper & Pearson, Biometrika 26, 1934).
        high: upper end.
    """

    kind: str
    suspect: int
    cannot_tell: int
    judged: int
    low: float
    high: float

    @property
    def share(self) -> float:
        """Of the judged files that are called suspect."""
        return self.suspect / self.judged


def realised(scan: Scan) -> list[Realised]:
    """The false alarms of a scan of real files, by kind and, where there are both, of all."""
    kinds = {"photo": ("photo",), "video": ("video",), "file": ("photo", "video")}
    found = [_of_kind(scan, name, media) for name, media in kinds.items()]
    there = [each for each in found[:2] if each is not None]
    return there if len(there) < 2 else [*there, found[2]]  # type: ignore[list-item]


def _of_kind(scan: Scan, name: str, media: Sequence[str]) -> Realised | None:
    verdicts = [file.verdict for file in scan.files if file.medium in media]
    suspect, judged = (
        verdicts.count("suspect"),
        len(verdicts) - verdicts.count("cannot tell") - verdicts.count(None),
    )
    if not judged:
        return None
    low, high = share_interval(suspect, judged)
    return Realised(
        kind=name,
        suspect=suspect,
        cannot_tell=verdicts.count("cannot tell"),
        judged=judged,
        low=low,
        high=high,
    )


def breaks_promise(found: Realised, false_alarm: float) -> bool:
    """Whether the share of false alarms lies clearly above what is promised."""
    return found.low > false_alarm


def promise_text(found: Realised, false_alarm: float) -> str:
    """What the false alarms say of the promise, in words.

    >>> few = Realised(kind="photo", suspect=9, cannot_tell=0, judged=60, low=0.071, high=0.266)
    >>> promise_text(few, 0.05)
    'it flags 3 times as many as it promises (at least 1.4 times)'
    """
    if breaks_promise(found, false_alarm):
        times, least = found.share / false_alarm, found.low / false_alarm
        return f"it flags {times:.2g} times as many as it promises (at least {least:.2g} times)"
    if found.high <= 2 * false_alarm:
        return "it keeps its promise"
    return f"nothing speaks against its promise, but {found.judged} are too few to tell"
