"""Crops decoded when they are asked for: what a crowd of faces is read from."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Protocol

from jaxtyping import UInt8
from torch import Tensor

from verovolto.data.transforms import resize

KEPT = 64
"""Decoded crops kept in memory: the one being forged is asked for several times, donors hardly ever again."""


class Pictures(Protocol):
    """Numbered images. A `FaceSet` is one; so is anything else that knows how many it has and can read one."""

    def __len__(self) -> int: ...

    def image(self, i: int, /) -> Tensor:
        """Image `i`, uint8 `[3, H, W]`."""
        ...


class ImageCache:
    """Pictures brought to one size, the last few kept decoded. It pickles without what it keeps."""

    def __init__(self, pictures: Pictures, side: int, *, kept: int = KEPT) -> None:
        self.pictures, self.side, self.kept = pictures, side, kept
        self._decoded: OrderedDict[int, Tensor] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_decoded": OrderedDict()}

    def __len__(self) -> int:
        return len(self.pictures)

    def pixels(self, i: int) -> UInt8[Tensor, "3 s s"]:
        """Picture `i`, uint8 `[3, S, S]`; not to be changed in place. Raises `UnreadableImage`."""
        if i not in self._decoded:
            self._decoded[i] = resize(self.pictures.image(i), self.side)
            while len(self._decoded) > self.kept:
                self._decoded.popitem(last=False)
        self._decoded.move_to_end(i)
        return self._decoded[i]
