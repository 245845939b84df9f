"""EfficientNet-Lite0 alone; see `models.lite`."""

from __future__ import annotations

from collections.abc import Sequence

from verovolto.models.lite import MEAN, STD, STEM, VARIANTS, Lite, pretrained

CHANNELS = VARIANTS["lite0"].channels

__all__ = ["CHANNELS", "MEAN", "STD", "STEM", "Lite0"]


class Lite0(Lite):
    """The frozen network up to its last tap."""

    def __init__(self, taps: Sequence[int]) -> None:
        super().__init__("lite0", taps)


def _pretrained():  # type: ignore[no-untyped-def]
    return pretrained("lite0")
