"""Errors for people: each says what is wrong, where, and what to do next.

Every error that a user can cause derives from `VerovoltoError`; the command line prints it as one line and
exits with its `exit_code`. Anything else that escapes is a bug and keeps its traceback.
"""

from __future__ import annotations


class VerovoltoError(Exception):
    """Base of all errors meant for people. `hint` says what to do next."""

    exit_code = 2

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        self.message = message
        self.hint = hint
        super().__init__(f"{message} ({hint})" if hint else message)


class InputError(VerovoltoError):
    """A path, option or configuration value that cannot be used."""


class DataError(VerovoltoError):
    """A face set that cannot be read as asked: empty, wrong columns, too many unreadable images."""


class UnreadableImage(DataError):
    """One image that cannot be decoded. Callers count it, name it and go on, up to a stated share."""


class DamagedImage(UnreadableImage):
    """One image of which the decoder had to guess a part: it shows something, which is no evidence."""


class SplitError(DataError):
    """Splits that share an identity or a source video, or that cannot be made as asked."""


class CalibrationError(VerovoltoError):
    """A false-alarm rate that the calibration sample is too small to support, or no calibration at all."""


class DetectorError(VerovoltoError):
    """A detector folder that is incomplete, of another version, or changed since it was written."""


class WeightsError(VerovoltoError):
    """Pretrained weights that are neither on this machine nor given as a file, or do not fit the network."""


class TrainingError(VerovoltoError):
    """A training that had to stop: a loss that is not finite, or a run folder that cannot be resumed."""


class Diverged(TrainingError):
    """A loss that is no finite number."""
