"""Batch norms measured again: the plain average of batches, whatever the momentum and whatever was in them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from verovolto.core.errors import DataError
from verovolto.data.face_batch import Preprocessing
from verovolto.data.faceset import FaceSet
from verovolto.detectors.score_faces import read_batch, score_faces
from verovolto.detectors.vae.detector import VAEDetector
from verovolto.networks.registry import Architecture, build
from verovolto.thesis.experiments.controls.networks import with_measured_norms

HALF = (0.5, 0.5, 0.5)


@pytest.fixture(scope="module")
def faces(face_set: Path) -> FaceSet:
    return FaceSet.open(face_set).select(split="train", label="real")


def detector(momentum: float = 0.1) -> VAEDetector:
    """An untrained network whose norms have seen nothing."""
    torch.manual_seed(0)
    arch = Architecture(model="oc-fakedect1", size=8, latent=4)
    model = build(arch)
    for norm in norms_of(model):
        norm.momentum = momentum
    preprocessing = Preprocessing(size=8, mean=HALF, std=HALF, crop_rule=None)
    return VAEDetector(architecture=arch, model=model, preprocessing=preprocessing, default_score="rmse")


def norms_of(model: nn.Module) -> list[nn.modules.batchnorm._BatchNorm]:
    return [one for one in model.modules() if isinstance(one, nn.modules.batchnorm._BatchNorm)]


def test_the_first_norm_holds_the_average_of_its_batches(faces: FaceSet) -> None:
    before = detector()
    after = with_measured_norms(before, faces, batch_size=len(faces), seed=0)
    _, batch = read_batch(faces, 0, len(faces))
    first_conv = next(one for one in before.model.modules() if isinstance(one, nn.Conv2d))
    with torch.no_grad():
        seen = first_conv(before.preprocessing(batch, before.device))
    norm = norms_of(after.model)[0]
    torch.testing.assert_close(norm.running_mean, seen.mean((0, 2, 3)), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(norm.running_var, seen.var((0, 2, 3)), rtol=1e-4, atol=1e-5)


def test_momentum_makes_no_difference_and_nothing_else_changes(faces: FaceSet) -> None:
    quick, slow = (
        with_measured_norms(detector(momentum), faces, batch_size=8, seed=3) for momentum in (0.1, 0.01)
    )
    for (name, one), other in zip(
        quick.model.state_dict().items(), slow.model.state_dict().values(), strict=True
    ):
        assert torch.equal(one, other), name
    assert [norm.momentum for norm in norms_of(slow.model)] == [0.01] * len(norms_of(slow.model))
    untouched = detector()
    with_measured_norms(untouched, faces, batch_size=8, seed=3)
    assert all(
        torch.equal(norm.running_mean, torch.zeros_like(norm.running_mean))
        for norm in norms_of(untouched.model)
    )
    learned = [name for name, _ in quick.model.named_parameters()]
    for name in learned:
        assert torch.equal(quick.model.get_parameter(name), untouched.model.get_parameter(name))
    assert not quick.model.training


def test_it_depends_on_the_seed_alone_and_is_used_in_scoring(faces: FaceSet) -> None:
    plain = detector()
    first, again, other = (with_measured_norms(plain, faces, batch_size=5, seed=seed) for seed in (1, 1, 2))
    scored = [score_faces(one, faces).values("rmse") for one in (plain, first, again, other)]
    assert (
        (scored[1] == scored[2]).all() and (scored[1] != scored[3]).any() and (scored[0] != scored[1]).any()
    )


def test_a_batch_of_one_face_is_passed_over_and_none_is_an_error(faces: FaceSet) -> None:
    one_left = with_measured_norms(detector(), faces.take(range(5)), batch_size=4, seed=0)
    assert {int(norm.num_batches_tracked) for norm in norms_of(one_left.model)} == {1}
    with pytest.raises(DataError, match="fewer than two faces"):
        with_measured_norms(detector(), faces.take([0]), batch_size=4, seed=0)


def test_thresholds_of_other_scores_are_left_out(faces: FaceSet) -> None:
    from verovolto.calibration.thresholds import Threshold

    old = Threshold(name="x", kind="one-class", score="rmse", value=1.0, chosen_on="reals")
    given = replace(detector(), thresholds=[old])
    assert with_measured_norms(given, faces, batch_size=8, seed=0).thresholds == []
    assert given.thresholds == [old]
