"""Pseudo-forgeries: training examples of fakes, made out of real faces alone.

>>> face_pool = FacePool.gather(faces, landmarks, native=native_sides(faces))  # doctest: +SKIP
>>> for pair in pairs(face_pool, 3000, seed=0):  # doctest: +SKIP
...     learn(pair.real, pair.fake)
"""

from verovolto.synthesis.pseudo_fakes.compression_pipeline import (
    CompressionParameters,
    compress,
    draw_compression,
)
from verovolto.synthesis.pseudo_fakes.face_pool import FacePool, native_sides
from verovolto.synthesis.pseudo_fakes.methods import KINDS, Forgery, forge, forge_with_mask
from verovolto.synthesis.pseudo_fakes.pairs import PseudoPair, pair, pairs

__all__ = [
    "KINDS",
    "CompressionParameters",
    "FacePool",
    "Forgery",
    "PseudoPair",
    "compress",
    "draw_compression",
    "forge",
    "forge_with_mask",
    "native_sides",
    "pair",
    "pairs",
]
