"""verovolto: learn what real faces look like, flag what does not fit.

The names below are all that most programs need. Each is imported when it is first used, so that `import verovolto`
stays fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from verovolto.data.faceset import FaceSet
    from verovolto.data.score_table import ScoreTable
    from verovolto.detectors.base import Detector
    from verovolto.evaluation.run import evaluate
    from verovolto.preparation.pipeline import prepare
    from verovolto.scanning.run import scan
    from verovolto.training.fit import fit

__version__ = "0.2.0"
__all__ = ["Detector", "FaceSet", "ScoreTable", "__version__", "evaluate", "fit", "prepare", "scan"]

_HOMES = {
    "Detector": "verovolto.detectors.base",
    "FaceSet": "verovolto.data.faceset",
    "ScoreTable": "verovolto.data.score_table",
    "evaluate": "verovolto.evaluation.run",
    "fit": "verovolto.training.fit",
    "prepare": "verovolto.preparation.pipeline",
    "scan": "verovolto.scanning.run",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'verovolto' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
