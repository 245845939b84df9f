"""`verovolto demo`: the whole job on a small set of real photographs, from photographs to a report."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from verovolto import __version__
from verovolto.core.errors import InputError
from verovolto.core.files import write_json
from verovolto.demo.faces import build_set, find_faces, orl_photos

FACES, RUN, RESULT = "orl-faces", "run", "test"
SETTINGS, LANDMARKS = "demo.json", "landmarks.json"
SIZE, BATCH_SIZE = 64, 32
NOTICE = (
    "This is a demonstration: {train} photographs of a few people, a network of {size} x {size} pixels trained "
    "for {epochs} epochs, and simple face swaps as the forgeries to find. It shows the whole job from "
    "photographs to report; its figures say nothing about deepfakes at large. "
    "Photographs: AT&T Laboratories Cambridge."
)


def demo(*, out: Path = Path("demo"), epochs: int = 24, seed: int = 0, force: bool = False) -> None:
    """Run the whole job on a small set of real photographs and write a report; takes a few minutes.

    Reads the ORL faces (40 people, 10 photographs each), divides them by person, swaps faces between people of
    the held-out groups, trains a one-class model on the real faces of the others, sets thresholds on held-out
    reals, and reports how the swaps are told from the photographs. A demonstration that was stopped goes on
    where it was.

    Parameters
    ----------
    out
        Folder for everything the demonstration writes.
    epochs
        Passes over the training photographs.
    seed
        Seed of who is in which group, of the swaps and of the training.
    force
        Start again: delete what an earlier demonstration wrote into the folder.
    """
    print(f"report: {run_demo(out, epochs=epochs, seed=seed, force=force).resolve()}")


def run_demo(out: Path, *, epochs: int, seed: int, force: bool = False) -> Path:
    """Build the face set, train, evaluate; returns the report's path.

    Raises `InputError` when the photographs are not installed, or when `out` holds something else.
    """
    from verovolto.commands.train import run_training
    from verovolto.data.crop_rule import TIGHT
    from verovolto.evaluation.run import evaluate
    from verovolto.faces.detection.mtcnn import MTCNNDetector
    from verovolto.report.evaluation_page import summary, write_report
    from verovolto.training.config import TrainConfig

    photos = orl_photos()
    _begin(out, seed, force)
    found = find_faces(photos, MTCNNDetector(), out / LANDMARKS)
    faces = build_set(photos, found, out / FACES, rule=TIGHT, seed=seed)
    print(f"faces: {len(found)} of {len(photos)} photographs show one, the set lies in {faces}")
    config = TrainConfig(
        data=faces,
        model="resnet-ocvae2",
        out=out / RUN,
        size=SIZE,
        epochs=epochs,
        batch_size=BATCH_SIZE,
        seed=seed,
        # One thread in full precision: every machine gets the same figures, and a busy one is hardly slower.
        threads=1,
        precision="32",
    )
    run = run_training(config)
    notice = NOTICE.format(train=_count_trained(faces), size=SIZE, epochs=epochs)
    evaluation = evaluate(run, faces)
    report = write_report(evaluation, out / RESULT, notice=notice)
    print(summary(evaluation.metrics, evaluation.settings.false_alarm))
    return report


def _begin(out: Path, seed: int, force: bool) -> None:
    """Make the folder, or check that it holds a demonstration of the same settings to go on with."""
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file", hint="--out names a folder")
    settings = {"version": __version__, "seed": seed}
    before = _settings(out)
    if before is None and out.is_dir() and any(out.iterdir()):
        raise InputError(f"{out} holds something else than a demonstration", hint="give another --out")
    if force and before is not None:
        _clear(out)
    elif before is not None and before != settings:
        raise InputError(
            f"{out} holds a demonstration with other settings ({before}, now {settings})",
            hint="give another --out, or --force to start again",
        )
    write_json(out / SETTINGS, settings)


def _settings(out: Path) -> object:
    """What `demo.json` says of the demonstration in `out`; None where there is none."""
    try:
        return json.loads((out / SETTINGS).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError:
        return "unreadable"


def _clear(out: Path) -> None:
    """Delete what a demonstration writes, and nothing else. What was found in the photographs stays true."""
    for name in (FACES, f".{FACES}.part", RUN, RESULT):
        shutil.rmtree(out / name, ignore_errors=True)


def _count_trained(faces: Path) -> int:
    from verovolto.data.faceset import FaceSet

    return len(FaceSet.open(faces).select(split="train", label="real"))
