"""Score a face set with MesoNet, as a peer whose scores `verovolto evaluate --scores` judges.

    pip install h5py
    python benchmarks/peers/mesonet.py DATA WEIGHTS OUT.csv [N]     # WEIGHTS: folder of the four published .h5 files

Afchar, Nozick, Yamagishi & Echizen, "MesoNet: a Compact Facial Video Forgery Detection Network", WIFS 2018. The
networks are written from the tables of layers in the paper and in the weight files (Apache-2.0, DariusAf/MesoNet):
Meso-4 of four convolutions, and MesoInception-4, whose first two are parallel branches with dilated kernels. Trained by
their authors on **fakes**, those of Deepfakes or of Face2Face, on faces of 256 pixels. Their output is the probability
of *real*; the score here is its negative logit, so that a higher one is more likely fake.
"""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from verovolto.core.progress import track
from verovolto.data.face_batch import resize
from verovolto.data.faceset import FaceSet

SIDE, BATCH = 256, 32
NAMES = ("Meso4_DF", "Meso4_F2F", "MesoInception_DF", "MesoInception_F2F")
KEPT = ("label", "split", "source_video", "target_identity", "pair")
EPS = 1e-3
"""Keras's of batch normalisation."""


class Layers:
    """The arrays of a weight file by kind, in the order in which the layers were made."""

    def __init__(self, arrays: Mapping[str, NDArray[np.float32]]) -> None:
        self.by_layer: dict[str, dict[str, Tensor]] = {}
        for name, value in arrays.items():
            layer, part = name.split("/")[-2:]
            self.by_layer.setdefault(layer, {})[part.split(":")[0]] = torch.from_numpy(value)

    @staticmethod
    def read(path: Path) -> Layers:
        import h5py  # what only the weights need

        arrays: dict[str, Any] = {}

        def keep(name: str, value: Any) -> None:
            if isinstance(value, h5py.Dataset):
                arrays[name] = np.asarray(value)

        with h5py.File(path) as file:
            file.visititems(keep)
        return Layers(arrays)

    def of(self, kind: str) -> list[dict[str, Tensor]]:
        names = [name for name in self.by_layer if re.fullmatch(rf"{kind}_\d+", name)]
        return [self.by_layer[name] for name in sorted(names, key=lambda name: int(name.rpartition("_")[2]))]


def convolution(weights: dict[str, Tensor], dilation: int = 1) -> nn.Conv2d:
    """Of `same` padding; Keras has the kernel as `[h, w, in, out]`."""
    kernel = weights["kernel"].permute(3, 2, 0, 1).contiguous()
    out, of, height, _ = kernel.shape
    layer = nn.Conv2d(of, out, height, padding=dilation * (height // 2), dilation=dilation)
    layer.weight.data, layer.bias.data = kernel, weights["bias"]  # type: ignore[union-attr]
    return layer


def normalisation(weights: dict[str, Tensor]) -> nn.BatchNorm2d:
    layer = nn.BatchNorm2d(len(weights["gamma"]), eps=EPS)
    layer.weight.data, layer.bias.data = weights["gamma"], weights["beta"]
    layer.running_mean, layer.running_var = weights["moving_mean"], weights["moving_variance"]
    return layer


def linear(weights: dict[str, Tensor]) -> nn.Linear:
    layer = nn.Linear(*weights["kernel"].shape)
    layer.weight.data, layer.bias.data = weights["kernel"].T.contiguous(), weights["bias"]
    return layer


class Branches(nn.Module):
    """An inception layer: 1x1, and 1x1 followed by 3x3 of dilation 1, 2 and 3; ReLU after each."""

    def __init__(self, weights: list[dict[str, Tensor]]) -> None:
        super().__init__()
        first, *rest = weights
        self.plain = convolution(first)
        self.narrow = nn.ModuleList(convolution(each) for each in rest[0::2])
        self.wide = nn.ModuleList(convolution(each, 1 + number) for number, each in enumerate(rest[1::2]))

    def forward(self, x: Tensor) -> Tensor:
        parts = [F.relu(self.plain(x))]
        parts += [
            F.relu(wide(F.relu(narrow(x)))) for narrow, wide in zip(self.narrow, self.wide, strict=True)
        ]
        return torch.cat(parts, 1)


class MesoNet(nn.Module):
    """Meso-4, or MesoInception-4 where the file has sixteen convolutions."""

    def __init__(self, layers: Layers) -> None:
        super().__init__()
        kernels = layers.of("conv2d")
        if len(kernels) == 16:
            first: list[nn.Module] = [Branches(kernels[:7]), Branches(kernels[7:14])]
        else:
            first = [convolution(kernels[0]), convolution(kernels[1])]
        self.convolutions = nn.ModuleList([*first, *map(convolution, kernels[-2:])])
        self.norms = nn.ModuleList(map(normalisation, layers.of("batch_normalization")))
        self.dense = nn.ModuleList(map(linear, layers.of("dense")))

    def forward(self, x: Tensor) -> Tensor:
        """Logits of *real* `[B]` of images `[B, 3, 256, 256]` in [0, 1]."""
        for number, (layer, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            x = F.max_pool2d(norm(F.relu(layer(x))), 4 if number == 3 else 2)
        x = x.permute(0, 2, 3, 1).flatten(1)  # Keras flattens with the channels last
        return self.dense[1](F.leaky_relu(self.dense[0](x), 0.1))[:, 0]


def columns(faces: FaceSet, *names: str) -> list[list[str | None]]:
    table = faces.columns(*names)
    return [table[name].to_pylist() for name in names]


def drawn(split: str | None, label: str | None, pair: str, every: int) -> bool:
    """Whether a face is scored: pairs whole, by their number."""
    wanted = split == "test" or (split, label) == ("val", "real")
    return wanted and int(re.sub(r"\D", "", pair) or 0) % every == 0


@torch.inference_mode()
def main(data: Path, weights: Path, out: Path, every: int = 1) -> None:
    """Write scores of the test faces and of the reals of `val`; with `every` of each so-many-th pair, whole."""
    networks = {name: MesoNet(Layers.read(weights / f"{name}.h5")).eval() for name in NAMES}
    faces = FaceSet.open(data)
    facts = zip(*columns(faces, "split", "label", "pair"), strict=True)
    kept = [row for row, (split, label, pair) in enumerate(facts) if drawn(split, label, pair or "", every)]
    faces = faces.take(np.array(kept))
    known = dict(zip(KEPT, columns(faces, *KEPT), strict=True))
    scores: dict[str, list[float]] = {name: [] for name in NAMES}
    for start in track(range(0, len(faces), BATCH), "scoring"):
        rows = range(start, min(start + BATCH, len(faces)))
        batch = torch.stack([resize(faces.image(row), SIDE) for row in rows]).float() / 255
        for name, network in networks.items():
            scores[name] += (-network(batch)).tolist()
    with out.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle)
        writer.writerow(["face", *KEPT, *NAMES])
        for row in range(len(faces)):
            writer.writerow(
                [row, *(known[name][row] for name in KEPT), *(scores[name][row] for name in NAMES)]
            )


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]), *map(int, sys.argv[4:5]))
