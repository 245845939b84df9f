"""Many sources of real faces: the features of all faces, kept and continued, and designs compared on them.

    python benchmarks/sources.py features WORK --faces FACES [--data DFDC] [--seed 0]
    python benchmarks/sources.py study WORK

`FACES` holds the sets that `verovolto prepare` made of the collections, all by the rule `dfdc`: `fairface-dfdc`,
`celeba-dfdc`, `real-clips-dfdc` (learned from and calibrated on), `celebdf-clips-dfdc`, `ffpp-clips-dfdc` and
`ffpp-crops-dfdc` (only ever tested on). A pass of the backbone costs half a second a face on one core, all else little.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from verovolto.core.workdir import compute_chunks
from verovolto.data.faceset import FaceSet
from verovolto.detectors.config import TrainConfig
from verovolto.detectors.region_discriminant.fit import FitSteps, Measured, OfReals
from verovolto.training.config import configure
from verovolto.training.data import load_training_data
from verovolto.training.fit import TrainingRun, resolved

SOURCES = ("fairface-dfdc", "celeba-dfdc", "real-clips-dfdc")
HELD_OUT = (
    "dfdc/val", "celebdf-clips-dfdc", "ffpp-clips-dfdc", "real-clips-dfdc", "celeba-dfdc/val", "fairface-dfdc/val",
    "dfdc/test", "ffpp-crops-dfdc",
)  # fmt: skip
"""Some of the clips are learned from; `ffpp-clips`, `celebdf-clips`, `ffpp-crops`, `dfdc/test` only tested on."""


@dataclass(frozen=True)
class Study:
    """The features of one seed, in its folder of `WORK`."""

    work: Path
    faces: Path
    data: Path
    seed: int

    @property
    def config(self) -> TrainConfig:
        """What is trained: 1,500 faces a source at most, 1,500 forgeries."""
        return resolved(
            configure(
                model="region-discriminant", data=self.data, out=self.work / f"run-{self.seed}", crop_rule="dfdc",
                reals=[self.faces / name for name in SOURCES], trunk="clip-vit-b16", limit=1500, forgeries=1500,
                wear=3.0, seed=self.seed, workers=2,
            )
        )  # fmt: skip

    @cached_property
    def steps(self) -> FitSteps:
        """The steps of the training that give the features."""
        config = self.config
        run = TrainingRun(config, load_training_data(config), {})
        run.work = self.work / f"train-{self.seed}"
        return FitSteps(config=config, options=config.method, data=run.data(), run=run)  # type: ignore[arg-type]

    def measured(self) -> Measured:
        """Features of what is trained on."""
        with self.steps.run:  # type: ignore[attr-defined]
            return self.steps.measured()

    def held_out(self, name: str) -> tuple[pa.Table, NDArray[np.float32]]:
        """Rows and features of faces that nothing is fitted to: `SET/SPLIT`, or a whole set; `dfdc` is `data`."""
        name, _, split = name.partition("/")
        whole = FaceSet.open(self.data if name == "dfdc" else self.faces / name)
        faces = whole.select(split=split) if split else whole
        folder = self.work / f"{name}-{split}"
        rows = OfReals(faces=faces, recipe=self.steps.recipe)
        with self.steps.run as run:  # type: ignore[attr-defined]
            on_progress = run.task(name, len(faces))
            found = compute_chunks(len(faces), rows, folder, workers=2, on_progress=on_progress)
        return faces.columns(), found.astype(np.float32)


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["features", "study"])
    parser.add_argument("work", type=Path)
    parser.add_argument("--faces", type=Path, required=True)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/dfdc-faces"))
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    study = Study(given.work, given.faces, given.data, given.seed)
    study.measured()
    for name in HELD_OUT:
        study.held_out(name)


if __name__ == "__main__":
    main()
