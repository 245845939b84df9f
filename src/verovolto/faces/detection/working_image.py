"""What every face detector does to an image first: check it, bring it to a working size, and keep to one thread."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from jaxtyping import UInt8
from torch import Tensor
from torch.nn.functional import interpolate

from verovolto.core.errors import InputError


def check_image(image: Tensor) -> None:
    """Raise `InputError` unless the image is uint8 `[3, H, W]` and has pixels."""
    if image.dtype != torch.uint8 or image.ndim != 3 or image.shape[0] != 3 or image.numel() == 0:
        raise InputError(
            f"face detection takes uint8 [3, H, W], not {image.dtype} {list(image.shape)}",
            hint="decode the image to RGB bytes first",
        )


def check_sides(name: str, *, short: int, long: int, smallest: int) -> None:
    """Raise `InputError` unless `smallest <= short <= long`, the sides that a detector `name` scales images to."""
    if not smallest <= short <= long:
        raise InputError(
            f"{name} cannot scale images to a short side of {short} and a long side of {long}",
            hint=f"choose {smallest} <= short side <= long side",
        )


def working_scale(height: int, width: int, *, long: int, short: int) -> float:
    """Factor by which an image is resized before detection: 1 unless it is too large or too small.

    The short side is raised to `short`; the long side never exceeds `long`, which has the last word.
    """
    return min(max(1.0, short / min(height, width)), long / max(height, width))


def resized(image: UInt8[Tensor, "3 h w"], scale: float) -> UInt8[Tensor, "3 H W"]:
    """Resize by `scale`, bilinear with antialiasing; the same image when `scale` is 1.

    Sides are rounded to whole pixels, so that the exact ratio differs from `scale` by less than a pixel.
    """
    if scale == 1.0:
        return image
    size = [max(1, round(side * scale)) for side in image.shape[1:]]
    larger = interpolate(image[None].float(), size=size, mode="bilinear", antialias=True)
    return larger[0].round().clamp(0, 255).to(torch.uint8)


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute on one thread: two are many times slower on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
