"""`verovolto evaluate`: score a face set (or take scores made elsewhere), judge them, write a report."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from verovolto.core.errors import InputError
from verovolto.core.files import check_out

if TYPE_CHECKING:
    import numpy as np

    from verovolto.calibration.thresholds import Calibration, Threshold
    from verovolto.data.faceset import FaceSet
    from verovolto.data.score_table import ScoreTable
    from verovolto.detectors.base import Detector
    from verovolto.evaluation.corrupted_scores import CorruptedScores
    from verovolto.report.galleries import Gallery


@dataclass(frozen=True, kw_only=True)
class Options:
    """How to judge: see `evaluate` for each."""

    score: str | None = None
    false_alarm: float = 0.1
    positive: Literal["fake", "real"] = "fake"
    strict: bool = False
    resamples: int = 1000
    seed: int = 0
    no_faces: bool = False
    notice: str | None = None
    robustness: int | None = None
    """Faces to judge under degradations as well; None for none."""


@dataclass(frozen=True, kw_only=True)
class _Judged:
    """Scores with what is known about them: the calibration, thresholds, and pictures if there are any."""

    scores: ScoreTable
    calibration: dict[str, Calibration]
    thresholds: list[Threshold]
    metadata: dict[str, Any]
    title: str
    detector: Detector | None = None
    faces: FaceSet | None = None
    training: dict[str, np.ndarray] | None = None
    corrupted: CorruptedScores | None = None


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
    positive: Literal["fake", "real"] = "fake",
    strict: bool = False,
    resamples: int = 1000,
    seed: int = 0,
    batch_size: int = 64,
    max_unreadable: float = 0.05,
    any_crop: bool = False,
    no_faces: bool = False,
    robustness: bool = False,
    robustness_faces: int = 400,
) -> None:
    """Score a face set and report how well reals and fakes are told apart.

    Either a detector and `--data`, or `--scores` with a table made by any program. Writes `scores.parquet`,
    `metrics.json`, `report.html` and `figures/` into the folder `--out`.

    Parameters
    ----------
    detector
        A run folder of `verovolto train`, a detector folder, or `default`: the detector that comes along.
    out
        Folder for the results.
    data
        The face set to score.
    split
        Which split of it; "all" for every face. With `--scores` and a column `split`, rows of that split are
        judged and rows of `calibrate` (or `val`) set the thresholds.
    scores
        A CSV or Parquet table: a score column, `label` (real or fake) and, where known, `face`,
        `source_video`, `identity`, `pair`, `method`, `compression`, `dataset`.
    score
        The score to judge: a column of `--scores`, or one of the detector's (its default if not given).
    false_alarm
        The false-alarm rate whose threshold the report speaks of.
    positive
        The class that TP, FP, TN, FN, precision, recall and F1 of the thresholds take as positive.
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
        Also score degraded faces (JPEG, low resolution, blur, noise, low light and contrast), and show how ranking
        and false alarms hold. Killed and started again, it goes on. Each of these faces takes as long as twenty others.
    robustness_faces
        With --robustness: how many of the faces to degrade, half of them real, drawn by the seed.
    """
    options = Options(
        score=score,
        false_alarm=false_alarm,
        positive=positive,
        strict=strict,
        resamples=resamples,
        seed=seed,
        no_faces=no_faces,
        robustness=robustness_faces if robustness else None,
    )
    if scores is not None:
        if detector is not None or data is not None:
            raise InputError("give either --scores, or a detector and --data, not both")
        if robustness:
            raise InputError("--robustness degrades faces", hint="give a detector and --data, not --scores")
        page = evaluate_table(scores, out=out, split=split, options=options)
    elif detector is None or data is None:
        raise InputError("nothing to evaluate", hint="give a run folder and --data, or --scores FILE")
    else:
        page = run_evaluation(
            detector,
            data=data,
            out=out,
            split=split,
            batch_size=batch_size,
            max_unreadable=max_unreadable,
            any_crop=any_crop,
            options=options,
        )
    print(f"report: {page.resolve()}")


def run_evaluation(
    detector: Path,
    *,
    data: Path,
    out: Path,
    split: str = "test",
    batch_size: int = 64,
    max_unreadable: float = 0.05,
    any_crop: bool = False,
    notice: str | None = None,
    options: Options | None = None,
) -> Path:
    """Score the faces of `data` by a detector, judge, and write everything into `out`; returns the report.

    `notice` is a banner on top of the report. Raises VerovoltoError for whatever a user can mend.
    """
    from dataclasses import replace

    from verovolto.data.faceset import FaceSet
    from verovolto.detectors.base import Detector
    from verovolto.detectors.default import detector_folder
    from verovolto.detectors.score_faces import score_faces
    from verovolto.evaluation.preflight import check_crop, check_scorable, exposure_warning
    from verovolto.evaluation.robustness_run import plan_trial, run_trial
    from verovolto.report.evaluation_page import training_curves

    options = options or Options()
    options = replace(options, notice=notice or options.notice)
    _check(options, out)
    if batch_size < 1 or not 0 <= max_unreadable <= 1:
        raise InputError(
            f"--batch-size {batch_size}, --max-unreadable {max_unreadable:g}: at least 1, and 0 to 1"
        )
    folder = detector_folder(detector)
    loaded = Detector.load(folder)
    whole = FaceSet.open(data)
    faces = whole if split == "all" else whole.select(split=split)
    check_crop(loaded, faces, any_crop)
    check_scorable(loaded, faces, options)
    if (said := exposure_warning(loaded, whole, split)) is not None:
        print(f"warning: {said}", file=sys.stderr)
        options = replace(options, notice=" ".join(filter(None, (options.notice, said))))
    asked = options.robustness
    trial = None if asked is None else plan_trial(folder, faces, out=out, count=asked, seed=options.seed)
    table = score_faces(loaded, faces, batch_size=batch_size, max_unreadable=max_unreadable)
    metadata = {
        **table.metadata,
        "detector_folder": str(detector),
        "data": str(data),
        "split": split,
        "training": loaded.metadata,
    }
    judged = _Judged(
        scores=table,
        calibration=dict(loaded.calibration),
        thresholds=list(loaded.thresholds),
        metadata=metadata,
        title=f"{loaded.name} on {faces.name} ({split})",
        detector=loaded,
        faces=faces,
        training=training_curves(folder),
        corrupted=run_trial(trial, loaded, faces, table, batch_size=batch_size) if trial else None,
    )
    flags = [str(detector), "--data", str(data), "--split", split]
    flags += ["--batch-size", str(batch_size)] if batch_size != 64 else []
    flags += ["--max-unreadable", f"{max_unreadable:g}"] if max_unreadable != 0.05 else []
    flags += ["--any-crop"] if any_crop else []
    return _judge(judged, out, options, flags)


def evaluate_table(path: Path, *, out: Path, split: str = "test", options: Options | None = None) -> Path:
    """Judge a table of scores made elsewhere, and write everything into `out`; returns the report."""
    from verovolto.data.score_table import read_scores
    from verovolto.evaluation.held_out import split_table

    options = options or Options()
    _check(options, out)
    table = read_scores(path, score=options.score)
    table, calibration, thresholds = split_table(table, split)
    judged = _Judged(
        scores=table,
        calibration=calibration,
        thresholds=thresholds,
        metadata={**table.metadata, "split": split if "split" in table.table.column_names else "all rows"},
        title=f"{table.scores[0]} of {path.name}",
    )
    return _judge(judged, out, options, ["--scores", str(path), "--split", split])


def _judge(judged: _Judged, out: Path, options: Options, flags: Sequence[str]) -> Path:
    from verovolto import __version__
    from verovolto.core.files import write_json
    from verovolto.evaluation import robustness_run as robustness
    from verovolto.evaluation.evaluate import evaluate_scores
    from verovolto.evaluation.groups import scored_rows
    from verovolto.report.evaluation_page import ReportData, build, galleries_of, latents_of, spearman
    from verovolto.report.galleries import pick

    score = options.score or judged.scores.scores[0]
    thresholds = _with_rate(judged, score, options.false_alarm)
    metrics = evaluate_scores(
        judged.scores,
        thresholds=thresholds,
        calibration=judged.calibration,
        score=score,
        positive=options.positive,
        strict=options.strict,
        resamples=options.resamples,
        seed=options.seed,
    )
    rows = scored_rows(judged.scores, score)
    kept = judged.scores.take(rows)
    values = {name: kept.values(name) for name in (score, *judged.scores.baselines, *judged.scores.scores)}
    metrics["version"] = __version__
    metrics["correlations"] = {
        name: spearman(values[score], values[name])
        for name in metrics["baselines"]
        if _complete(values[name])
    }
    if judged.corrupted is not None:
        metrics["robustness"] = robustness.judged(
            judged.corrupted, judged.scores, thresholds, score=score, options=options
        )
    metrics["about"] = judged.metadata
    metrics["detector"] = judged.metadata.get("detector")
    metrics["command"] = command = _command(flags, out, options)
    fake = kept.strings("label") == "fake"
    cut = _cut(thresholds, score, options.false_alarm)
    shown: list[Gallery] = []
    latents = None
    if judged.detector is not None and judged.faces is not None:
        picks = pick(values[score], fake, cut)
        shown = galleries_of(judged.detector, judged.faces, picks, rows, values[score], fake)
        latents = latents_of(judged.detector, judged.faces, rows, fake, options.seed)
    page = build(
        ReportData(
            title=judged.title,
            metrics=metrics,
            scores=values,
            fake=fake,
            command=command,
            false_alarm=options.false_alarm,
            notice=options.notice,
            galleries=shown,
            hide_faces=options.no_faces,
            latents=latents,
            training=judged.training,
            seed=options.seed,
        )
    )
    judged.scores.write(out / "scores.parquet")
    write_json(out / "metrics.json", metrics)
    report = page.write(out)
    if judged.corrupted is not None:
        robustness.keep(judged.corrupted, judged.scores, out)
    print(summary(metrics, options.false_alarm))
    return report


def summary(metrics: dict[str, Any], false_alarm: float) -> str:
    """The figures of `metrics.json` as a few lines of text."""
    from verovolto.report.evaluation_text import estimate, verdict
    from verovolto.report.robustness import robustness_sentences

    said = verdict(metrics, false_alarm=false_alarm, also=robustness_sentences(metrics))
    rows = [(metrics["score"], metrics), *metrics["other_scores"].items(), *metrics["baselines"].items()]
    width = max(len(name) for name, _ in rows)
    lines = [
        f"  {name:{width}}  AUROC {estimate(one['auroc']):22}  EER {estimate(one.get('eer')):22}"
        for name, one in rows
    ]
    metadata = metrics["interval"]
    note = f"95 % intervals over {metadata['clusters']} clusters ({metadata['cluster']})"
    note = note if metadata["resamples"] else "no intervals: they need --resamples"
    return "\n".join([said.headline, *said.sentences, *lines, note])


def _check(options: Options, out: Path) -> None:
    if not 0 < options.false_alarm < 1:
        raise InputError(f"--false-alarm lies between 0 and 1, not {options.false_alarm:g}")
    if options.resamples < 0:
        raise InputError(f"--resamples cannot be negative: {options.resamples}")
    if options.seed < 0:
        raise InputError(f"--seed cannot be negative: {options.seed}")
    check_out(out)


def _with_rate(judged: _Judged, score: str, false_alarm: float) -> list[Threshold]:
    """The thresholds, with the one at the asked false-alarm rate among them.

    Raises CalibrationError when the calibration sample cannot support that rate.
    """
    from verovolto.calibration.thresholds import Threshold, rate_name

    known = judged.thresholds
    calibration = judged.calibration.get(score)
    if calibration is None:
        return known
    value = calibration.threshold(false_alarm)
    ours = [one for one in known if one.score == score and one.kind == "one-class"]
    if any(one.false_alarm == false_alarm for one in ours):
        return known
    chosen_on = ours[0].chosen_on if ours else "held-out real faces"
    asked = Threshold(
        name=rate_name(false_alarm),
        score=score,
        value=value,
        kind="one-class",
        chosen_on=chosen_on,
        false_alarm=false_alarm,
    )
    return [asked, *known]


def _cut(thresholds: Sequence[Threshold], score: str, false_alarm: float) -> float:
    """Where the score is cut at the asked false-alarm rate; infinite where no such threshold is known."""
    ours = (one.value for one in thresholds if one.score == score and one.false_alarm == false_alarm)
    return next(ours, float("inf"))


def _complete(values: np.ndarray) -> bool:
    import numpy as np

    return bool(np.isfinite(values).all())


def _command(flags: Sequence[str], out: Path, options: Options) -> str:
    """The exact command that makes these results again."""
    words = ["verovolto", "evaluate", *flags, "--out", str(out)]
    words += ["--score", options.score] if options.score else []
    words += ["--false-alarm", f"{options.false_alarm:g}", "--positive", options.positive]
    words += ["--resamples", str(options.resamples), "--seed", str(options.seed)]
    words += ["--strict"] if options.strict else []
    words += ["--no-faces"] if options.no_faces else []
    words += ["--robustness", "--robustness-faces", str(options.robustness)] if options.robustness else []
    return shlex.join(words)
