"""What tests of several commands share."""

from tests.data.conftest import faces_folder

__all__ = ["faces_folder"]
