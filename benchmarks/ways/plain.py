"""The plain way: what a short script of one's own would do."""

from __future__ import annotations

import io

import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms.v2 import functional as F

from verovolto.data.faceset import FaceSet
from verovolto.detectors.vae.detector import vae_scores
from verovolto.networks.registry import entry
from verovolto.networks.vae import negative_elbo, second_encoding_error
from ways import BATCH, DEVICE, Job, network, timed


class PlainFaces(Dataset[torch.Tensor]):
    """The plain way to read: open with PIL, resize with PIL, to a normalised float tensor."""

    def __init__(self, faces: FaceSet, model: str) -> None:
        self.faces, self.known = faces, entry(model)

    def __len__(self) -> int:
        return len(self.faces)

    def __getitem__(self, row: int) -> torch.Tensor:
        image = Image.open(io.BytesIO(self.faces.encoded(row))).convert("RGB")
        image = image.resize((self.known.size, self.known.size), Image.Resampling.BILINEAR)
        pixels = F.to_dtype(F.pil_to_tensor(image), torch.float32, scale=True)
        out: torch.Tensor = F.normalize(pixels, list(self.known.mean), list(self.known.std))
        return out


def train_plain(model: str, faces: FaceSet) -> Job:
    """The plain loop, one step after the first."""
    net = network(model).to(DEVICE).train()
    optimiser = torch.optim.Adam(net.parameters(), lr=entry(model).lr)

    def step(x: torch.Tensor) -> None:
        x = x.to(DEVICE)
        optimiser.zero_grad()
        out = net(x, noise="normal")
        loss = negative_elbo(x, out).mean()
        if net.second_encoder is not None:
            loss = loss + second_encoding_error(net, out).mean()
        loss.backward()
        optimiser.step()
        loss.item()

    def job() -> float:
        batches = iter(DataLoader(PlainFaces(faces, model), batch_size=BATCH, shuffle=True))
        step(next(batches))
        return timed(lambda: step(next(batches)))

    return job


def score_plain(model: str, faces: FaceSet) -> Job:
    """The same scores of contiguous float32 tensors, decoded by PIL in a DataLoader."""
    known = entry(model)
    net = network(model).to(DEVICE).eval()

    def step(x: torch.Tensor) -> None:
        with torch.no_grad():
            x = x.to(DEVICE)
            {k: v.cpu() for k, v in vae_scores(net, x, net(x), std=known.std, beta=1.0).items()}

    def job() -> float:
        batches = iter(DataLoader(PlainFaces(faces, model), batch_size=BATCH))
        step(next(batches))
        return timed(lambda: step(next(batches)), times=2)

    return job
