"""The demonstration: face set, training, evaluation, and scans of a photograph and a video, true and forged."""

from __future__ import annotations

import shutil
from pathlib import Path

from verovolto import __version__
from verovolto.core.workdir import claim
from verovolto.data.crop_rule import TIGHT
from verovolto.data.faceset import FaceSet
from verovolto.demo.faces import build_set, find_faces, orl_photos
from verovolto.demo.scans import SCANS, scan_examples, write_examples
from verovolto.evaluation.run import evaluate
from verovolto.faces.detection.mtcnn import MTCNNDetector
from verovolto.report.evaluation_page import summary, write_report
from verovolto.training.config import configure
from verovolto.training.fit import run as train

SETTINGS, LANDMARKS = "demo.json", "landmarks.json"
SIZE, BATCH_SIZE = 64, 32
FACES, RUN, RESULT, EXAMPLES = "orl-faces", "run", "test", "examples"
NOTICE = (
    "This is a demonstration: {train} photographs of a few people, a network of {size} x {size} pixels trained "
    "for {epochs} epochs, and simple face swaps as the forgeries to find. It shows the whole job from "
    "photographs to report; its figures say nothing about deepfakes at large. "
    "Photographs: AT&T Laboratories Cambridge."
)
SWAPS = (
    "These swaps are simple ones, made by verovolto: to find them says nothing of others. What the detectors miss of "
    "known deepfakes, each scan says."
)


def run_demo(out: Path, *, epochs: int, seed: int, force: bool = False) -> Path:
    """Build the face set, train, evaluate and scan, or go on where an earlier demonstration was.

    Args:
        out: Folder for everything that is written.
        epochs: Passes over the training photographs.
        seed: Of who is in which split, of the swaps and of the training.
        force: Begin anew: delete what an earlier demonstration wrote into the folder.

    Returns:
        The page of the scan by the detector that comes along, else by the one that was trained.

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
    examples = write_examples(photos, found, out / EXAMPLES, seed=seed)
    pages = scan_examples(examples, {"default": None, "trained": out / RUN}, out / SCANS)
    print(f"\n{SWAPS}\nevaluation of what was trained: {report.resolve()}")
    return pages[0]


def _begin(out: Path, seed: int, force: bool) -> None:
    """Make the folder, or check that it holds a demonstration of the same settings to go on with.

    With `force` what a demonstration writes is deleted, and nothing else; faces found in the photographs stay true.
    """

    def clear() -> None:
        for name in (FACES, f".{FACES}.part", RUN, RESULT, EXAMPLES, f".{EXAMPLES}.part", SCANS):
            shutil.rmtree(out / name, ignore_errors=True)

    settings = {"version": __version__, "seed": seed}
    claim(out, SETTINGS, settings, what="a demonstration", clear=clear if force else None)
