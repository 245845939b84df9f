"""Photos and videos as upright RGB frames: types by content, limits, time stamps, reports of damage."""

from verovolto.media.decode_report import DecodeReport, Frame
from verovolto.media.open import open_media
from verovolto.media.photo import Photo
from verovolto.media.sampling import Sampling
from verovolto.media.types import FileType, Limits, UnreadableMedia, file_type_of
from verovolto.media.video import Video, VideoInfo

__all__ = [
    "DecodeReport",
    "FileType",
    "Frame",
    "Limits",
    "Photo",
    "Sampling",
    "UnreadableMedia",
    "Video",
    "VideoInfo",
    "file_type_of",
    "open_media",
]
