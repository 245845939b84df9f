"""verovolto: learn what real faces look like, flag what does not fit.

`from verovolto import Detector, FaceSet` are the two names most programs need. They are imported when first
used, so that `import verovolto` stays fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from verovolto.data.faceset import FaceSet
    from verovolto.detectors.base import Detector

__version__ = "0.1.0"
__all__ = ["Detector", "FaceSet", "__version__"]

_HOMES = {"Detector": "verovolto.detectors.base", "FaceSet": "verovolto.data.faceset"}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'verovolto' has no attribute {name!r}")
