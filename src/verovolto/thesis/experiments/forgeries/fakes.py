"""The fakes that are evaluated besides those of the test split: unsplit fakes of the set, and pseudo-fakes made here.

A split of the fakes of one method (`--method`) puts the others in no split. Nobody in training has shown those of test
people, and they say how a detector does on forgeries that nothing was chosen on. Pseudo-fakes are made of the test's
own reals and scored beside their untouched sources; no face of them is kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from verovolto.core.workdir import Done
from verovolto.data.corruptions import jpeg
from verovolto.data.face_batch import FaceBatch
from verovolto.data.faceset import FaceSet
from verovolto.data.score_table import ScoreTable
from verovolto.data.splits import check_disjoint
from verovolto.data.storage import write_split_file
from verovolto.detectors.score_faces import score_faces
from verovolto.detectors.trivial.detector import TRIVIAL_SCORES, trivial_scores
from verovolto.detectors.vae.detector import VAEDetector
from verovolto.faces.detection.registry import open_detector
from verovolto.faces.landmarks import crop_landmarks
from verovolto.synthesis.pseudo_fakes import PSEUDO_FAKE_METHODS, FacePool, PseudoPair, native_sides, pairs
from verovolto.synthesis.pseudo_fakes.pairs import LAST_QUALITY
from verovolto.thesis.networks import checkpoint_detector, run_folder
from verovolto.thesis.plan import Context
from verovolto.thesis.splits import generator

OTHERS = "others"
"""Name of the split of such rows."""
UNSPLIT_EACH = 2000
"""Unsplit fakes of a method that are evaluated at most: the interval depends on the people, not on their frames."""
_PEOPLE = ("target_identity", "donor_identity")
_VIDEO = "source_video"

_Key = tuple[str | None, str]
KINDS = tuple(kind for kind in PSEUDO_FAKE_METHODS if kind != "mouth")
"""Kinds of forgery that are made: those that the published tables have."""
EACH = 100
"""Forgeries of each kind that are made."""
FACE_POOL = 400
"""Test reals that are forged, and lend to each other, at most: landmarks take a moment each."""
_FACE_DETECTOR = "mtcnn"
_BLOCK = 36
_STREAM = 5  # keeps this draw apart from others of the seed


@dataclass(frozen=True, kw_only=True)
class UnsplitFakes:
    """Rows `[n]` (boolean) to evaluate beside test, and what became of the other fakes in no split.

    `cross_split` have a person or video outside test, `too_many` were beyond the number wanted; `apart` names data sets
    that no split holds.
    """

    rows: npt.NDArray[np.bool_]
    cross_split: int
    too_many: int
    apart: Sequence[str]


def unsplit_file(folder: Path) -> Path:
    """Where their split lies in the folder of its step; there is none where it would be empty."""
    return folder / "others.parquet"


def split_unsplit_fakes(context: Context, folder: Path) -> dict[str, Any]:
    """Write them as a split file of their own, beside that of the sound protocol, which stays as it is.

    Raises:
        SplitError: should one of them show somebody of the training or validation faces.
    """
    plan = context.plan
    table = context.faces("honest").columns()
    fakes = unsplit_fakes(table, each=UNSPLIT_EACH, seed=plan.seed)
    counts = {"torn": fakes.cross_split, "too_many": fakes.too_many, "apart": list(fakes.apart)}
    if not fakes.rows.any():
        unsplit_file(folder).unlink(missing_ok=True)
        return {**counts, "faces": {}}
    beside = pc.if_else(pa.array(fakes.rows), "test", table["split"])
    check_disjoint(table.set_column(table.column_names.index("split"), "split", beside))
    cut = pa.array([OTHERS if row else None for row in fakes.rows], pa.string())
    recipe = {"protocol": OTHERS, "seed": plan.seed, "method": plan.method, "each": UNSPLIT_EACH}
    write_split_file(unsplit_file(folder), FaceSet.open(plan.data).path, table["face"], cut, recipe=recipe)
    taken = table.filter(pa.array(fakes.rows))
    pairs = zip(taken["label"].to_pylist(), taken["method"].to_pylist(), strict=True)
    faces = Counter("real" if label == "real" else str(method or "fake") for label, method in pairs)
    return {**counts, "faces": dict(sorted(faces.items()))}


def score_unsplit_fakes(detector: VAEDetector, split: Path, folder: Path) -> dict[str, Any]:
    """Score those that lie in the step's folder `split`, into `others.parquet` of the folder."""
    table = score_faces(detector, FaceSet.open(unsplit_file(split)).select(split=OTHERS))
    table.write(folder / "others.parquet")
    return {"faces": len(table)}


def unsplit_fakes(table: pa.Table, *, each: int, seed: int) -> UnsplitFakes:
    """Rows in no split that share nobody with train and val, and belong to test.

    `table` holds metadata with a `split` that shares nobody: train, val, test or null. A fake belongs to test when
    each person known of it is there, and neither they nor its source video are elsewhere (where nobody is known: when
    its source video is there). Of a collection (`dataset`) that the split leaves out altogether, such as one without
    official lists beside one with them, every face is taken, the reals to compare its fakes against. At most `each`
    fakes of a method, drawn by the seed.
    """
    split, label, dataset = (
        np.asarray(table[name].to_pylist(), dtype=object) for name in ("split", "label", "dataset")
    )
    homes = _homes(table, split.tolist())
    in_none = np.array([where is None for where in split], dtype=bool)
    within = set(dataset[~in_none])
    apart = sorted({str(name) for name in dataset if name is not None and name not in within})
    fake = (label == "fake") & in_none
    of_apart = np.array([name in apart for name in dataset], dtype=bool) & in_none
    belongs = np.zeros(len(table), dtype=bool)
    people = zip(*(_keys(table, name) for name in _PEOPLE), strict=True)
    for row, (keys, video) in enumerate(zip(people, _keys(table, _VIDEO), strict=True)):
        if fake[row] and not of_apart[row]:
            belongs[row] = _in_test([key for key in keys if key], video, homes)
    wanted = belongs | (fake & of_apart)
    drawn = _at_most(wanted, table["method"].to_pylist(), each, seed)
    return UnsplitFakes(
        rows=drawn | ((label == "real") & of_apart),
        cross_split=int((fake & ~wanted).sum()),
        too_many=int((wanted & ~drawn).sum()),
        apart=apart,
    )


def _keys(table: pa.Table, column: str) -> list[_Key | None]:
    """A person or video of each row, named within its data set; None where unknown."""
    pairs = zip(table["dataset"].to_pylist(), table[column].to_pylist(), strict=True)
    return [None if value is None else (dataset, f"{column[-5:]}:{value}") for dataset, value in pairs]


def _homes(table: pa.Table, split: Sequence[str | None]) -> dict[_Key, str]:
    """The split of every person and video that is in one."""
    return {
        key: where
        for column in (*_PEOPLE, _VIDEO)
        for key, where in zip(_keys(table, column), split, strict=True)
        if key is not None and where is not None
    }


def _in_test(people: Sequence[_Key], video: _Key | None, homes: Mapping[_Key, str]) -> bool:
    of_video = None if video is None else homes.get(video)
    if of_video not in (None, "test"):
        return False
    return all(homes.get(key) == "test" for key in people) if people else of_video == "test"


def _at_most(
    wanted: npt.NDArray[np.bool_], methods: Sequence[str | None], each: int, seed: int
) -> npt.NDArray[np.bool_]:
    """The rows wanted, of each method `each` at most."""
    taken, kept = Counter[str | None](), np.zeros_like(wanted)
    order = generator(seed, 3).permutation(len(wanted))
    for row in order[wanted[order]]:
        taken[methods[row]] += 1
        kept[row] = taken[methods[row]] <= each
    return kept


def draw_face_pool(context: Context, folder: Path) -> dict[str, Any]:
    """Draw test reals and find their landmarks, which are kept in the step's folder."""
    faces = _test_reals(context)
    order = np.random.default_rng([context.plan.seed, _STREAM]).permutation(len(faces))
    rows = np.sort(order[:FACE_POOL])
    landmarks = _landmarks(faces.take(rows), folder)
    # NaN where there are none; points that lie at one place are no face either.
    count = np.ptp(landmarks, axis=1).max(axis=1) >= 1
    return {"reals": len(faces), "rows": rows.tolist(), "found": int(count.sum())}


def score_pseudo_fakes(
    context: Context, face_pool: Done, networks: Sequence[tuple[str, int]], folder: Path
) -> dict[str, Any]:
    """Make the forgeries once and score them, and their sources after the same compression, by every network.

    No network has learned from a forgery: they were trained on reals alone.

    Args:
        context: the reproduction.
        face_pool: the step that drew it.
        networks: names and epochs, each of which gets a table of scores (see `scores_file`).
        folder: of the step.
    """
    seed = context.plan.seed
    faces = _test_reals(context).take(np.array(face_pool.result["rows"]))
    landmarks = _landmarks(faces, face_pool.folder)
    pool = FacePool.gather(faces, landmarks, native=native_sides(faces), seed=seed)
    each = min(EACH, len(pool.targets))
    runs = [(run_folder(context.plan, context.best, name), epoch) for name, epoch in networks]
    detectors = [checkpoint_detector(run, epoch) for run, epoch in runs]
    made, columns = _scores(pairs(pool, each * len(KINDS), seed=seed, methods=KINDS), detectors)
    for (network, epoch), detector, scores in zip(networks, detectors, columns, strict=True):
        _table(detector, faces, made, scores).write(scores_file(folder, network, epoch))
    return {"each": each, "kinds": list(KINDS), "networks": [list(one) for one in networks]}


def scores_file(folder: Path, network: str, epoch: int) -> Path:
    """Where the scores of a network lie in the folder of the step."""
    return folder / f"{network}-{epoch:04d}.parquet"


def _test_reals(context: Context) -> FaceSet:
    return context.faces(context.best).select(split="test", label="real")


def _landmarks(faces: FaceSet, folder: Path) -> np.ndarray:
    """Landmarks of the crops; those that the folder holds are not looked for again."""
    return crop_landmarks(faces, open_detector(_FACE_DETECTOR), folder / faces.fingerprint()[:16])


def _scores(
    forged: Iterator[PseudoPair], detectors: Sequence[VAEDetector]
) -> tuple[list[tuple[int, str]], list[dict[str, np.ndarray]]]:
    """The face and kind of each pair `[n]`, and of each detector all scores `[2n]`, source and forgery in turn."""
    made: list[tuple[int, str]] = []
    parts: list[list[dict[str, np.ndarray]]] = [[] for _ in detectors]
    while block := list(islice(forged, _BLOCK)):
        batch = _batch(block)
        made += [(one.index, one.method) for one in block]
        trivial = trivial_scores(batch)
        for detector, blocks in zip(detectors, parts, strict=True):
            columns = trivial | detector.score_batch(batch).columns
            blocks.append({name: values.numpy() for name, values in columns.items()})
    return made, [
        {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]} for blocks in parts
    ]


def _batch(block: Sequence[PseudoPair]) -> FaceBatch:
    """Sources and forgeries in turn. Their files are as long as the last compression makes them."""
    images = [image for one in block for image in (one.real, one.fake)]
    sizes = [jpeg(image, LAST_QUALITY).encoded_bytes for image in images]
    return FaceBatch(images=images, encoded_bytes=sizes)


def _table(
    detector: VAEDetector, faces: FaceSet, made: Sequence[tuple[int, str]], scores: Mapping[str, np.ndarray]
) -> ScoreTable:
    """A row a crop: the person and video of the face that was forged, `method` its kind, `pair` its number."""
    of = faces.columns("face", "dataset", "source_video", "target_identity").to_pylist()
    rows = [
        {
            "face": f"made/{number:05d}/{label}", "label": label, "method": kind, "pair": f"made-{number}",
            "dataset": of[index]["dataset"], "target_identity": of[index]["target_identity"],
            # A face of which nothing is known stays one cluster with its forgeries.
            "source_video": of[index]["source_video"] or of[index]["face"],
            "status": "ok",
        }
        for number, (index, kind) in enumerate(made)
        for label in ("real", "fake")
    ]  # fmt: skip
    table = pa.Table.from_pylist(rows, schema=pa.schema([(name, pa.string()) for name in rows[0]]))
    for name, values in scores.items():
        table = table.append_column(name, pa.array(values))
    return ScoreTable(table=table, scores=detector.score_names, baselines=TRIVIAL_SCORES)
