"""Forgeries made of the test's own reals, scored beside their untouched sources; no face of them is kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from verovolto.thesis.networks import run_folder
from verovolto.thesis.plan import Plan, Protocol
from verovolto.thesis.splits import split_file

if TYPE_CHECKING:
    import numpy as np

    from verovolto.core.workdir import Done
    from verovolto.data.face_batch import FaceBatch
    from verovolto.data.faceset import FaceSet
    from verovolto.data.score_table import ScoreTable
    from verovolto.detectors.vae.detector import VAEDetector
    from verovolto.synthesis.pseudo_fakes import PseudoPair

EACH = 100
"""Forgeries of each kind."""
FACE_POOL = 400
"""Test reals that are forged, and lend to each other, at most: landmarks take a moment each."""
_FINDER = "mtcnn"
_BLOCK = 36
_FACE_POOL_DRAW = 5  # keeps this draw apart from others of the seed


def draw_face_pool(plan: Plan, protocol: Protocol, splits: Done, folder: Path) -> dict[str, Any]:
    """Draw test reals and find their landmarks, which are kept in the step's folder."""
    import numpy as np

    faces = _test_reals(splits, protocol)
    order = np.random.default_rng([plan.seed, _FACE_POOL_DRAW]).permutation(len(faces))
    rows = np.sort(order[:FACE_POOL])
    landmarks = _landmarks(faces.take(rows), folder)
    # NaN where there are none; points that lie at one place are no face either.
    found = np.ptp(landmarks, axis=1).max(axis=1) >= 1
    return {"reals": len(faces), "rows": rows.tolist(), "found": int(found.sum())}


def score_made(
    plan: Plan,
    protocol: Protocol,
    splits: Done,
    face_pool: Done,
    networks: Sequence[tuple[str, int]],
    folder: Path,
) -> dict[str, Any]:
    """Make the forgeries once and score them, and their sources after the same chain, by every network.

    Each of `networks`, a name and an epoch, gets a table of scores in the step's folder (see `made_file`). None has
    learned from a forgery: they were trained on reals alone.
    """
    import numpy as np

    from verovolto.synthesis.pseudo_fakes import PSEUDO_FAKE_METHODS, FacePool, native_sides, pairs
    from verovolto.thesis.checkpoints import checkpoint_detector

    faces = _test_reals(splits, protocol).take(np.array(face_pool.result["rows"]))
    landmarks = _landmarks(faces, face_pool.folder)
    gathered = FacePool.gather(faces, landmarks, native=native_sides(faces), seed=plan.seed)
    each = min(EACH, len(gathered.targets))
    detectors = [checkpoint_detector(run_folder(plan, protocol, name), epoch) for name, epoch in networks]
    made, columns = _scores(pairs(gathered, each * len(PSEUDO_FAKE_METHODS), seed=plan.seed), detectors)
    for (network, epoch), detector, found in zip(networks, detectors, columns, strict=True):
        _table(detector, faces, made, found).write(made_file(folder, network, epoch))
    return {"each": each, "kinds": list(PSEUDO_FAKE_METHODS), "networks": [list(one) for one in networks]}


def made_file(folder: Path, network: str, epoch: int) -> Path:
    """Where the scores of a network lie in the folder of the step."""
    return folder / f"{network}-{epoch:04d}.parquet"


def _test_reals(splits: Done, protocol: Protocol) -> FaceSet:
    from verovolto.data.faceset import FaceSet

    return FaceSet.open(split_file(splits.folder, protocol)).select(split="test", label="real")


def _landmarks(faces: FaceSet, folder: Path) -> np.ndarray:
    """Landmarks of the crops; those that the folder holds are not looked for again."""
    from verovolto.faces.detection.registry import open_detector
    from verovolto.faces.landmarks import crop_landmarks

    return crop_landmarks(faces, open_detector(_FINDER), folder / faces.fingerprint()[:16])


def _scores(
    pairs: Iterator[PseudoPair], detectors: Sequence[VAEDetector]
) -> tuple[list[tuple[int, str]], list[dict[str, np.ndarray]]]:
    """The face and kind of each pair `[n]`, and of each detector all scores `[2n]`, source and forgery in turn."""
    import numpy as np

    from verovolto.detectors.trivial.detector import trivial_scores

    made: list[tuple[int, str]] = []
    parts: list[list[dict[str, np.ndarray]]] = [[] for _ in detectors]
    while block := list(islice(pairs, _BLOCK)):
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
    """Sources and forgeries in turn. Their files are as long as the chain's last compression makes them."""
    from verovolto.data.corruptions import jpeg
    from verovolto.data.face_batch import FaceBatch
    from verovolto.synthesis.pseudo_fakes.corruptions import LAST_QUALITY

    images = [image for one in block for image in (one.real, one.fake)]
    sizes = [jpeg(image, LAST_QUALITY).encoded_bytes for image in images]
    return FaceBatch(images=images, encoded_bytes=sizes)


def _table(
    detector: VAEDetector, faces: FaceSet, made: Sequence[tuple[int, str]], scores: Mapping[str, np.ndarray]
) -> ScoreTable:
    """A row a crop: the person and video of the face that was forged, `method` its kind, `pair` its number."""
    import pyarrow as pa

    from verovolto.data.score_table import ScoreTable
    from verovolto.detectors.trivial.detector import TRIVIAL_SCORES

    of = faces.columns("face", "dataset", "source_video", "target_identity").to_pylist()
    rows = [
        {
            "face": f"made/{number:05d}/{label}",
            "label": label,
            "method": kind,
            "pair": f"made-{number}",
            "dataset": of[index]["dataset"],
            "target_identity": of[index]["target_identity"],
            # A face of which nothing is known stays one cluster with its forgeries.
            "source_video": of[index]["source_video"] or of[index]["face"],
            "status": "ok",
        }
        for number, (index, kind) in enumerate(made)
        for label in ("real", "fake")
    ]
    text = pa.schema([(name, pa.string()) for name in rows[0]])
    table = pa.Table.from_pylist(rows, schema=text)
    for name, values in scores.items():
        table = table.append_column(name, pa.array(values))
    return ScoreTable(table=table, scores=detector.score_names, baselines=TRIVIAL_SCORES)
