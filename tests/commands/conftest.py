"""What tests of several commands share."""

from tests.data.conftest import faces_folder, image, manifest, rows

__all__ = ["faces_folder", "image", "manifest", "rows"]
