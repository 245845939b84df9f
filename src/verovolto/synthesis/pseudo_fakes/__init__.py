"""Pseudo-forgeries: training examples of fakes, made out of real faces alone.

>>> crowd = Crowd.gather(faces, landmarks, native=native_sides(faces))  # doctest: +SKIP
>>> for pair in pairs(crowd, 3000, seed=0):  # doctest: +SKIP
...     learn(pair.real, pair.fake)
"""

from verovolto.synthesis.pseudo_fakes.compression_pipeline import ChainParameters, chain, draw_chain
from verovolto.synthesis.pseudo_fakes.face_pool import Crowd, native_sides
from verovolto.synthesis.pseudo_fakes.methods import KINDS, Forgery, forge, forge_with_mask
from verovolto.synthesis.pseudo_fakes.pairs import PseudoPair, pair, pairs

__all__ = [
    "KINDS",
    "ChainParameters",
    "Crowd",
    "Forgery",
    "PseudoPair",
    "chain",
    "draw_chain",
    "forge",
    "forge_with_mask",
    "native_sides",
    "pair",
    "pairs",
]
