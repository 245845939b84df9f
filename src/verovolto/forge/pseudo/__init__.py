"""Pseudo-forgeries: training examples of fakes, made out of real faces alone.

>>> crowd = Crowd.gather(faces, landmarks, native=native_sides(faces))  # doctest: +SKIP
>>> for pair in pairs(crowd, 3000, seed=0):  # doctest: +SKIP
...     learn(pair.real, pair.fake)
"""

from verovolto.forge.pseudo.chain import ChainParameters, chain, draw_chain
from verovolto.forge.pseudo.crowd import Crowd, native_sides
from verovolto.forge.pseudo.kinds import KINDS, Forgery, forge, forge_with_mask
from verovolto.forge.pseudo.pairs import PseudoPair, pair, pairs

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
