"""How fast anomalib's GANomaly trains and scores on a folder of faces, for `benchmarks/bench.py`.

    python -m venv .venv-peers && .venv-peers/bin/pip install "anomalib==2.7.0"
    .venv-peers/bin/python benchmarks/peers/ganomaly_speed.py FOLDER SIZE BATCH

A peer in an environment of its own. GANomaly (Akcay et al., ACCV 2018) learns from real pictures alone to encode, to
decode and to encode again, beside a discriminator: the job of the networks here, by other layers. Data, loading,
resizing, training step and score are anomalib's own (Apache-2.0), with its defaults. FOLDER holds `real/*.jpg`.

Waits for lines on its input: `train` takes two steps of BATCH pictures, `score` scores two batches; the answer is a
line, the pictures a second after the first step or batch: seconds of the CPU, with a GPU those of the clock. Two and no
more: a step of eight pictures takes some twenty seconds of a processor with AVX2 alone.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

STEPS = 2


def jobs(folder: Path, size: int, batch: int) -> dict[str, Callable[[], float]]:
    """What can be asked for."""
    import torch  # of the peer's environment, as anomalib is
    from anomalib.data import Folder
    from anomalib.models import Ganomaly
    from lightning.pytorch import Callback, Trainer
    from torchvision.transforms.v2 import Resize

    now = time.perf_counter if torch.cuda.is_available() else time.process_time

    class Clock(Callback):
        def __init__(self) -> None:
            self.times: list[float] = []

        def on_train_batch_end(self, *_args: Any) -> None:
            self.times.append(now())

    data = Folder(
        name="faces", root=folder, normal_dir="real", train_batch_size=batch, num_workers=0,
        augmentations=Resize((size, size)), test_split_mode="none", val_split_mode="none",
    )  # fmt: skip
    data.setup()
    processor = Ganomaly.configure_pre_processor(image_size=(size, size))
    model = Ganomaly(
        batch_size=batch, pre_processor=processor, evaluator=False, visualizer=False, post_processor=False
    )

    def train() -> float:
        clock = Clock()
        model.train()  # Lightning leaves it as `score` did, and scores would pass for pictures
        trainer = Trainer(
            accelerator="auto", devices=1, max_steps=2 * STEPS, callbacks=[clock], logger=False,
            enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
            default_root_dir=tempfile.gettempdir(),
        )  # fmt: skip
        trainer.fit(model, train_dataloaders=data.train_dataloader())
        return batch * (len(clock.times) - 1) / (clock.times[-1] - clock.times[0])

    def score() -> float:
        model.eval()
        batches, start = iter(data.train_dataloader()), 0.0
        with torch.inference_mode():
            for _ in range(STEPS):
                model.model(model.pre_processor(next(batches).image))
                start = start or now()
        return batch * (STEPS - 1) / (now() - start)

    return {"train": train, "score": score}


def main(folder: Path, size: int, batch: int) -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the peer prints is no answer
    known = jobs(folder, size, batch)
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        print(f"{known[line.strip()]():.3f}", file=answers, flush=True)


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
