"""`verovolto evaluate`: score a face set (or take scores made elsewhere), evaluate them, write a report."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from verovolto.core.errors import InputError
from verovolto.core.files import check_out

if TYPE_CHECKING:
    from verovolto.data.faceset import FaceSet
    from verovolto.evaluation.preflight import EvaluationSettings


def evaluate(
    detector: Path | None = None,
    /,
    *,
    out: Path,
    data: Path | None = None,
    split: str = "test",
    scores: Path | None = None,
    score: str | None = None,
    false_alarm: float = 0.1,
    protocol: Literal["sound", "thesis"] = "sound",
    positive: Literal["fake", "real"] | None = None,
    strict: bool = False,
    resamples: int = 1000,
    seed: int = 0,
    batch_size: int = 64,
    max_unreadable: float = 0.05,
    any_crop: bool = False,
    no_faces: bool = False,
    robustness: bool = False,
    robustness_faces: int = 400,
    groups: Path | None = None,
) -> None:
    """Score a face set and report how well its scores separate reals from fakes.

    Either a detector and `--data`, or `--scores` with a table made by any program. Writes `scores.parquet`,
    `metrics.json`, `report.html` and `figures/` into the folder `--out`. Of a set that holds real faces alone it says
    what share is flagged, by collection, and writes the first two.

    Parameters
    ----------
    detector
        A run folder of `verovolto train`, a detector folder, or `default`: the one of the package.
    out
        Folder for the results.
    data
        The face set to score.
    split
        Which split of it; "all" for every face. With `--scores` and a column `split`, rows of that split are
        evaluated and rows of `calibrate` (or `val`) set the thresholds.
    scores
        A CSV or Parquet table: a score column, `label` (real or fake) and, where known, `face`,
        `source_video`, `identity`, `pair`, `method`, `compression`, `dataset`.
    score
        The score to evaluate: a column of `--scores`, or one of the detector's (its default if not given).
    false_alarm
        The false-alarm rate whose threshold the report speaks of.
    protocol
        With `thesis`, the 80th percentile of the evaluated scores is one more threshold: chosen on the very faces that
        it is evaluated on, so not sound.
    positive
        The class that TP, FP, TN, FN, precision, recall and F1 of the thresholds take as positive: fake if not given,
        or real with `--protocol thesis`.
    strict
        Flag a face that scores exactly the threshold, as the thesis does.
    resamples
        Bootstrap resamples behind each interval.
    seed
        Seed of the resamples and of the t-SNE.
    batch_size
        Faces a batch; it does not change the scores.
    max_unreadable
        Share of unreadable faces past which the run fails.
    any_crop
        Go on when the faces were cropped by another rule than the detector's.
    no_faces
        Hide the faces of the report behind a mosaic.
    robustness
        Also score corrupted faces (JPEG, low resolution, blur, noise, low light and contrast), and show how ranking
        and false alarms hold. Killed and started again, it goes on. Each of these faces takes as long as twenty others.
    robustness_faces
        With --robustness: how many of the faces to corrupt, half of them real, drawn by the seed.
    groups
        A CSV table with a column `path`, as the photographs and videos of the faces are named, and columns such as
        gender or age: false alarms are given for each of these groups, too.
    """
    from verovolto.data.faceset import FaceSet
    from verovolto.evaluation.false_alarms import reals_alone, text
    from verovolto.evaluation.preflight import EvaluationSettings
    from verovolto.evaluation.run import evaluate as evaluate_detector
    from verovolto.evaluation.run import evaluate_table
    from verovolto.report.evaluation_page import summary, write_report

    settings = EvaluationSettings(
        score=score, false_alarm=false_alarm, protocol=protocol, positive=positive, strict=strict,
        resamples=resamples, seed=seed, batch_size=batch_size, max_unreadable=max_unreadable,
        any_crop=any_crop, hide_faces=no_faces, robustness=robustness_faces if robustness else None,
        groups=groups,
    )  # fmt: skip
    check_out(out)
    if scores is not None:
        if detector is not None or data is not None:
            raise InputError("give either --scores, or a detector and --data, not both")
        if robustness:
            raise InputError("--robustness degrades faces", hint="give a detector and --data, not --scores")
        if groups is not None:
            raise InputError(
                "--groups is about the faces of a set", hint="give a detector and --data, not --scores"
            )
        evaluation = evaluate_table(scores, split, settings=settings)
    elif detector is None or data is None:
        raise InputError("nothing to evaluate", hint="give a run folder and --data, or --scores FILE")
    else:
        whole = FaceSet.open(data)
        if (reals := reals_alone(whole, split)) is not None:
            print("\n".join(_reals(detector, whole, reals, split, settings, out)))
            return
        evaluation = evaluate_detector(detector, whole, split, settings=settings, workdir=out)
    report = write_report(evaluation, out)
    print(summary(evaluation.metrics, false_alarm))
    rates = [each for each in evaluation.metrics.get("false_alarms", []) if each["faces_of"] != "all"]
    print("\n".join(text(rates, false_alarm)), end="\n" if rates else "")
    print(f"report: {report.resolve()}")


def _reals(
    detector: Path, whole: FaceSet, faces: FaceSet, split: str, settings: EvaluationSettings, out: Path
) -> list[str]:
    from verovolto.detectors.base import load_detector
    from verovolto.detectors.io import detector_folder
    from verovolto.evaluation.false_alarms import evaluate_reals, write_reals
    from verovolto.evaluation.preflight import exposure_warning

    loaded = load_detector(detector_folder(detector))
    if (warning := exposure_warning(loaded, whole, split)) is not None:
        print(f"warning: {warning}", file=sys.stderr)
    return write_reals(evaluate_reals(loaded, faces, settings), out)
