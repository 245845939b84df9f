"""A small detector, calibrated on drawn scores."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from verovolto.calibration.thresholds import Calibration, one_class_thresholds
from verovolto.data.face_batch import Preprocessing
from verovolto.detectors.vae.detector import VAEDetector
from verovolto.networks.registry import Architecture, build, entry


def make_detector(model: str = "oc-fakedect1", *, size: int = 16, **options: str) -> VAEDetector:
    torch.manual_seed(0)
    arch = Architecture.from_dict({"model": model, "size": size, "latent": 4, **options})
    known = entry(model)
    net = build(arch).train()
    with torch.no_grad():  # gives the batch norms statistics that are not the initial ones
        net(torch.randn(16, 3, size, size))
    detector = VAEDetector(
        architecture=arch,
        model=net,
        preprocessing=Preprocessing(size=size, mean=known.mean, std=known.std),
        default_score=known.score,
        metadata={"seed": 0},
    )
    values = np.random.default_rng(0).normal(1.0, 0.2, 99)
    detector.calibration["rmse"] = Calibration.of(values, score="rmse", clusters=33, cluster="identity")
    detector.thresholds = one_class_thresholds(detector.calibration["rmse"])
    return detector


@pytest.fixture(scope="module")
def detector() -> VAEDetector:
    return make_detector()
