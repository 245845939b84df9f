"""Pretrained trunks: from a file, offline, refused."""

from __future__ import annotations

import pickle
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import ResNet18_Weights, resnet18

from verovolto.core.errors import WeightsError
from verovolto.networks.backbones.resnet18 import load_backbone, resnet18_features


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(5)
    return resnet18(weights=None).state_dict()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("classifier", [True, False])
def test_a_file_fills_the_trunk(
    state: dict[str, torch.Tensor], tmp_path: Path, suffix: str, classifier: bool
) -> None:
    path = tmp_path / f"trunk{suffix}"
    kept = {k: v for k, v in state.items() if classifier or not k.startswith("fc.")}
    save_file(kept, path) if suffix == ".safetensors" else torch.save(kept, path)
    features = resnet18_features()
    load_backbone(features, str(path), cache=tmp_path)
    assert torch.equal(features[0][0].weight, state["conv1.weight"])
    assert torch.equal(features[4][1].bn2.running_var, state["layer4.1.bn2.running_var"])


def test_none_leaves_the_trunk_as_it_is(tmp_path: Path) -> None:
    features = resnet18_features()
    before = features[0][0].weight.clone()
    load_backbone(features, "none", cache=tmp_path)
    assert torch.equal(features[0][0].weight, before)


def test_offline_names_the_file_and_the_flags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_args: object, **_options: object) -> None:
        raise URLError("no network")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(ResNet18_Weights, "get_state_dict", offline)
    with pytest.raises(WeightsError, match=r"resnet18-\w+\.pth.*--weights resnet18-\w+\.pth.*--weights none"):
        load_backbone(resnet18_features(), "imagenet", cache=tmp_path / "cache")


def test_torch_s_own_cache_is_used(
    state: dict[str, torch.Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    name = ResNet18_Weights.IMAGENET1K_V1.url.rpartition("/")[2]
    (tmp_path / "checkpoints").mkdir()
    torch.save(state, tmp_path / "checkpoints" / name)
    features = resnet18_features()
    load_backbone(features, "imagenet", cache=tmp_path / "unused")
    assert torch.equal(features[0][0].weight, state["conv1.weight"])


class _Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (print, ("code ran",))


def test_a_file_that_could_run_code_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "evil.pth"
    torch.save({"conv1.weight": _Evil()}, path)
    with pytest.raises(WeightsError, match="could run code"):
        load_backbone(resnet18_features(), str(path), cache=tmp_path)
    path.write_bytes(pickle.dumps(_Evil()))
    with pytest.raises(WeightsError):
        load_backbone(resnet18_features(), str(path), cache=tmp_path)
    assert "code ran" not in capsys.readouterr().out


def test_other_files_are_refused(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    def refused(name: str, match: str) -> None:
        with pytest.raises(WeightsError, match=match):
            load_backbone(resnet18_features(), str(tmp_path / name), cache=tmp_path)

    refused("absent.pth", "no weights file")
    (tmp_path / "cut.safetensors").write_bytes(b"\x10\x00\x00")
    refused("cut.safetensors", "no weights file")
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pth")
    refused("other.pth", "holds no ResNet-18")
    torch.save([1, 2], tmp_path / "list.pth")
    refused("list.pth", "no state dict")
    torch.save(state, tmp_path / "whole.pth")
    whole = (tmp_path / "whole.pth").read_bytes()
    (tmp_path / "half.pth").write_bytes(whole[: len(whole) // 2])
    refused("half.pth", "no weights file")
