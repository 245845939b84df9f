"""The demonstration: the whole job on a small set of real photographs, from photographs to a report."""

from __future__ import annotations

import shutil
from pathlib import Path

from verovolto import __version__
from verovolto.core.workdir import claim
from verovolto.data.crop_rule import TIGHT
from verovolto.data.faceset import FaceSet
from verovolto.demo.faces import build_set, find_faces, orl_photos
from verovolto.evaluation.run import evaluate
from verovolto.faces.detection.mtcnn import MTCNNDetector
from verovolto.report.evaluation_page import summary, write_report
from verovolto.training.config import configure
from verovolto.training.fit import run as train

FACES, RUN, RESULT = "orl-faces", "run", "test"
SETTINGS, LANDMARKS = "demo.json", "landmarks.json"
SIZE, BATCH_SIZE = 64, 32
NOTICE = (
    "This is a demonstration: {train} photographs of a few people, a network of {size} x {size} pixels trained "
    "for {epochs} epochs, and simple face swaps as the forgeries to find. It shows the whole job from "
    "photographs to report; its figures say nothing about deepfakes at large. "
    "Photographs: AT&T Laboratories Cambridge."
)


def run_demo(out: Path, *, epochs: int, seed: int, force: bool = False) -> Path:
    """Build the face set, train, evaluate, or go on where an earlier demonstration was.

    Args:
        out: Folder for everything that is written.
        epochs: Passes over the training photographs.
        seed: Of who is in which split, of the swaps and of the training.
        force: Begin anew: delete what an earlier demonstration wrote into the folder.

    Returns:
        The report's path.

    Raises:
        InputError: When the photographs are not installed, or `out` holds something else.
    """
    photos = orl_photos()
    _begin(out, seed, force)
    found = find_faces(photos, MTCNNDetector(), out / LANDMARKS)
    faces = build_set(photos, found, out / FACES, rule=TIGHT, seed=seed)
    print(f"faces: {len(found)} of {len(photos)} photographs show one, the set lies in {faces}")
    config = configure(
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
    evaluation = evaluate(train(config), faces)
    trained = len(FaceSet.open(faces).select(split="train", label="real"))
    notice = NOTICE.format(train=trained, size=SIZE, epochs=epochs)
    report = write_report(evaluation, out / RESULT, notice=notice)
    print(summary(evaluation.metrics, evaluation.settings.false_alarm))
    return report


def _begin(out: Path, seed: int, force: bool) -> None:
    """Make the folder, or check that it holds a demonstration of the same settings to go on with.

    With `force` what a demonstration writes is deleted, and nothing else; faces found in the photographs stay true.
    """

    def clear() -> None:
        for name in (FACES, f".{FACES}.part", RUN, RESULT):
            shutil.rmtree(out / name, ignore_errors=True)

    settings = {"version": __version__, "seed": seed}
    claim(out, SETTINGS, settings, what="a demonstration", clear=clear if force else None)
