"""Pseudo-fakes: training examples of forgeries, made out of real faces alone."""

from verovolto.synthesis.pseudo_fakes.face_pool import FacePool, native_sides
from verovolto.synthesis.pseudo_fakes.methods import PSEUDO_FAKE_METHODS, PseudoFake, make_pseudo_fake
from verovolto.synthesis.pseudo_fakes.pairs import (
    CompressionParameters,
    PseudoPair,
    compress,
    corrupt_benignly,
    draw_compression,
    pair,
    pairs,
)

__all__ = [
    "PSEUDO_FAKE_METHODS",
    "CompressionParameters",
    "FacePool",
    "PseudoFake",
    "PseudoPair",
    "compress",
    "corrupt_benignly",
    "draw_compression",
    "make_pseudo_fake",
    "native_sides",
    "pair",
    "pairs",
]
