"""Batch norms measured again after training, so that networks can be compared whatever their momentum.

While training, the running mean and variance of a batch norm follow the features with a lag: with momentum 0.01, as in
ResNetOCVAE1's heads and decoder, two thirds of where they began are still in them after 40 steps. In use they would
then describe another network than the one that was trained. Averaging over many batches with the finished weights
removes the lag (Wu & Johnson, "Rethinking 'Batch' in BatchNorm", arXiv 2105.07576, section 3).
"""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from verovolto.core.errors import DataError
from verovolto.data.faceset import FaceSet
from verovolto.detectors.score_faces import read_batch
from verovolto.detectors.vae.detector import VAEDetector
from verovolto.networks.choices import Noise

MOST = 1000
"""Faces beyond which the averages hardly move (section 3.2 of the paper)."""


def with_measured_norms(
    detector: VAEDetector,
    faces: FaceSet,
    *,
    batch_size: int,
    seed: int,
    noise: Noise = "normal",
    most: int = MOST,
) -> VAEDetector:
    """A copy of a detector whose norms hold the plain average over batches of the faces it was trained on.

    At most `most` faces, drawn and mixed by `seed`, latents drawn with the `noise` of the training. Its calibration and
    thresholds belong to other scores and are left out. Raises `DataError` where no batch of two faces can be read.
    """
    model = copy.deepcopy(detector.model)
    norms = [one for one in model.modules() if isinstance(one, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the average of all batches
    mixed = faces.take(np.random.default_rng(seed).permutation(len(faces))[:most])
    drawn = torch.Generator(detector.device).manual_seed(seed)
    model.train()
    measured = 0
    for start in range(0, len(mixed), batch_size):
        _, batch = read_batch(mixed, start, min(start + batch_size, len(mixed)))
        if len(batch) < 2:  # a single face has no variance
            continue
        x = detector.preprocessing(batch, detector.device)
        with torch.no_grad():
            model(x.contiguous(memory_format=torch.channels_last), noise=noise, generator=drawn)
        measured += len(batch)
    if not measured:
        raise DataError(f"{faces.name}: fewer than two faces can be read to measure the batch norms on")
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return replace(detector, model=model.eval(), calibration={}, thresholds=[])
