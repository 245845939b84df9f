"""Backbones of timm and torchvision by name, from files of weights: no test reaches a network."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn

from verovolto.core.errors import InputError, WeightsError
from verovolto.detectors.region_discriminant.features import FeatureSpec
from verovolto.networks import DISCRIMINANT_BACKBONES
from verovolto.networks.backbones import by_name
from verovolto.networks.backbones.registry import BACKBONES, Backbone, backbone
from verovolto.training.config import configure


def saved(net: nn.Module, folder: Path) -> Path:
    file = folder / "weights.safetensors"
    save_file({name: value.contiguous() for name, value in net.state_dict().items()}, file)
    return file


def check(known: Backbone, side: int) -> None:
    """What it states is what it gives."""
    maps, tokens = known.open(known.layers, known.tokens)(torch.rand(2, 3, side, side))
    assert [each.shape[1] for each in maps] == [known.channels[layer] for layer in known.layers]
    assert all(each.ndim == 4 and len(each) == 2 for each in maps)
    assert [each.shape for each in tokens] == [(2, known.token_channels)] * len(known.tokens)
    assert not known.size % known.multiple and not side % known.multiple


@pytest.mark.parametrize("name", ["test_vit", "test_resnet"])
def test_networks_of_timm(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = timm.create_model(name, pretrained=False)
    known = backbone(f"timm:{name}={saved(net, tmp_path)}")
    check(known, 96)
    assert bool(known.tokens) == (name == "test_vit")


def test_maps_and_tokens_are_those_of_the_network(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = timm.create_model("test_vit", pretrained=False).eval()
    known = backbone(f"timm:test_vit={saved(net, tmp_path)}")
    x = torch.rand(1, 3, 160, 160)
    last = len(known.channels) - 1
    maps, tokens = known.open([last], [last])(x)
    with torch.no_grad():
        whole = net.blocks(net.norm_pre(net._pos_embed(net.patch_embed(x))))
    assert torch.allclose(tokens[0], whole[:, 0], atol=1e-5)
    assert maps[0].shape[2:] == (10, 10)


def test_networks_of_torchvision(tmp_path: Path) -> None:
    torch.manual_seed(0)
    file = saved(torchvision.models.squeezenet1_1(weights=None), tmp_path)
    known = backbone(f"torchvision:squeezenet1_1={file}")
    check(known, 96)
    assert len(known.layers) >= 2 and not known.tokens


def test_a_detector_names_the_weights_and_refuses_others(tmp_path: Path) -> None:
    torch.manual_seed(0)
    file = saved(timm.create_model("test_resnet", pretrained=False), tmp_path)
    name = f"timm:test_resnet={file}"
    written = FeatureSpec.default(name).to_dict()
    assert written["sha256"] == backbone(name).sha256 and len(written["sha256"]) == 64
    assert FeatureSpec.from_dict(written) == FeatureSpec.default(name)
    saved(timm.create_model("test_resnet", pretrained=False), tmp_path)
    by_name.named.cache_clear()
    with pytest.raises(InputError, match="made with other weights"):
        FeatureSpec.from_dict(written)


@pytest.mark.parametrize(
    ("name", "error", "says"),
    [
        ("timm:no_such_net", InputError, "timm has no model 'no_such_net'"),
        ("torchvision:no_such_net", InputError, "torchvision has no model 'no_such_net'"),
        (
            "torchvision:squeezenet1_1=nowhere.safetensors",
            WeightsError,
            "cannot be had from nowhere.safetensors",
        ),
        ("elsewhere:resnet18", InputError, "no backbone is called"),
    ],
)
def test_what_cannot_be_had_is_said(name: str, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        backbone(name)


def test_without_a_network_a_file_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_args: object, pretrained: bool, **_options: object) -> nn.Module:
        raise OSError("no route to host")

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(WeightsError, match="cannot be had from the network: no route to host") as error:
        backbone("timm:test_vit2")
    assert "NAME=FILE.safetensors" in str(error.value.hint)


def test_names_are_checked_before_anything_is_opened(tmp_path: Path) -> None:
    assert set(DISCRIMINANT_BACKBONES) == set(BACKBONES)
    for name in (*DISCRIMINANT_BACKBONES, "timm:vit_base_patch16_clip_quickgelu_224.openai"):
        configure(model="region-discriminant", data=tmp_path, out=tmp_path, trunk=name)
    for name in ("resnet", "timm:", "elsewhere:x"):
        with pytest.raises(InputError, match=f"trunk {name} is none of lite0"):
            configure(model="region-discriminant", data=tmp_path, out=tmp_path, trunk=name)
