"""`verovolto evaluate --robustness`: the same faces degraded, scored and judged again."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from verovolto.core.errors import InputError
from verovolto.core.progress import counting_bar

if TYPE_CHECKING:
    import numpy as np

    from verovolto.calibration.thresholds import Threshold
    from verovolto.commands.evaluate import Options
    from verovolto.data.faceset import FaceSet
    from verovolto.data.score_table import ScoreTable
    from verovolto.detectors.base import Detector
    from verovolto.evaluation.corrupted_scores import CorruptedScores

PARTS, SETTINGS, RESULT = "robustness", "settings.json", "robustness.parquet"


@dataclass(frozen=True, kw_only=True)
class Trial:
    """Which faces are degraded, and where the finished parts lie until all is done.

    `rows` int64 `[m]` are positions in the judged set; `seed` drew them and decides the noise.
    """

    rows: np.ndarray
    seed: int
    folder: Path

    @property
    def parts(self) -> Path:
        """Holds the parts of a run that is not done."""
        return self.folder / PARTS


def plan_trial(detector: Path, faces: FaceSet, *, out: Path, count: int, seed: int) -> Trial:
    """Draw `count` of the faces to degrade, and say what they are tried under, before anything is scored.

    Raises `InputError` for fewer than two faces, and where `out` holds parts of a run of other settings.
    """
    from verovolto import __version__
    from verovolto.core.files import write_json
    from verovolto.data.corruptions import CORRUPTIONS
    from verovolto.evaluation.robustness import DRAW_COLUMNS, draw_faces

    if count < 2:
        raise InputError(f"--robustness-faces {count}: a real and a fake face are the least")
    trial = Trial(rows=draw_faces(faces.columns(*DRAW_COLUMNS), count, seed=seed), seed=seed, folder=out)
    settings = {
        "version": __version__,
        "detector": _digest(detector),
        "data": faces.fingerprint(),
        "faces": count,
        "seed": seed,
        "degradations": [one.describe() for one in CORRUPTIONS],
    }
    if any(trial.parts.glob("*.parquet")):
        _check_same(trial.parts, settings)
    else:  # of a run that stopped before its first part nothing is lost
        write_json(trial.parts / SETTINGS, settings)
    return trial


def _digest(detector: Path) -> str:
    """Of the file that describes a detector and holds the digest of its weights."""
    from verovolto.core.files import sha256_file
    from verovolto.detectors.io import JSON_NAME, find_folder

    return sha256_file(find_folder(detector) / JSON_NAME)


def _check_same(parts: Path, settings: dict[str, Any]) -> None:
    from verovolto.core.files import read_json_object

    known = read_json_object(parts / SETTINGS)
    if others := [name for name, value in settings.items() if known.get(name) != value]:
        raise InputError(
            f"{parts} holds an unfinished run of other settings: {', '.join(others)}",
            hint="run it with those again, delete that folder, or give another --out",
        )


def run_trial(
    trial: Trial, detector: Detector, faces: FaceSet, scores: ScoreTable, *, batch_size: int
) -> CorruptedScores:
    """Score the drawn faces under every degradation, from where an earlier run stopped.

    `scores` are those of all faces undegraded; what could not be read there is left out. Raises `DataError` when no
    real or no fake face is left.
    """
    from verovolto.evaluation.corrupted_scores import score_corrupted, versions_of
    from verovolto.evaluation.groups import scored_rows

    rows = trial.rows[scored_rows(scores.take(trial.rows), scores.scores[0])]
    versions = len(versions_of())
    with counting_bar() as progress:
        task = progress.add_task(f"{len(rows)} faces, {versions} times degraded", total=versions * len(rows))
        return score_corrupted(
            detector,
            faces,
            rows,
            folder=trial.parts,
            seed=trial.seed,
            batch_size=batch_size,
            on_progress=lambda done: progress.advance(task, done),
        )


def judged(
    corrupted: CorruptedScores,
    scores: ScoreTable,
    thresholds: list[Threshold],
    *,
    score: str,
    options: Options,
) -> dict[str, Any]:
    """What `metrics.json` says under `robustness`."""
    from verovolto.evaluation.robustness import evaluate_robustness

    rate = options.false_alarm
    return evaluate_robustness(
        scores,
        corrupted,
        score=score,
        threshold=next((one for one in thresholds if one.score == score and one.false_alarm == rate), None),
        strict=options.strict,
        resamples=options.resamples,
        seed=options.seed,
    )


def keep(corrupted: CorruptedScores, scores: ScoreTable, out: Path) -> None:
    """Write all scores of degraded faces into `out`, a row a face and version, and clear the parts away."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from verovolto.core.files import atomic_path

    table = corrupted.table()
    rows = table["row"].to_numpy()
    for name in ("label", "face"):
        table = table.add_column(0, name, pa.array(scores.strings(name)[rows], pa.string()))
    with atomic_path(out / RESULT) as part:
        pq.write_table(table.drop_columns(["row"]), part)
    shutil.rmtree(out / PARTS)
