"""The detector that comes with the package: for a first look, and where none is given."""

from __future__ import annotations

from pathlib import Path

from verovolto.core.errors import DetectorError
from verovolto.detectors.io import JSON_NAME

DEFAULT = "default"
"""What it is called on the command line."""

FOLDER = Path(__file__).parent / "default"
"""Its weights, model card and licence: the terms of the data it learned from go with the weights."""


def detector_folder(given: Path | str | None = None) -> Path:
    """The folder of a detector: the one given, or that of the starter for None and `default`.

    A folder of your own that is called `default` comes first. Raises `DetectorError` where the starter is missing.
    """
    if given is not None and (str(given) != DEFAULT or Path(given).exists()):
        return Path(given)
    if not (FOLDER / JSON_NAME).is_file():
        raise DetectorError(
            "no detector is given, and none comes with this version",
            hint="train one on real faces with verovolto train, and give its folder",
        )
    return FOLDER
