"""Photos and videos as RGB frames: kind by content, limits, upright pictures, time stamps, damage."""

from verovolto.media.decode_report import Decoded
from verovolto.media.limits import Limits
from verovolto.media.open import open_media
from verovolto.media.photo import Photo
from verovolto.media.sampling import Sampling
from verovolto.media.types import Kind, UnreadableMedia, kind_of
from verovolto.media.video import Frame, Video, VideoInfo

__all__ = [
    "Decoded",
    "Frame",
    "Kind",
    "Limits",
    "Photo",
    "Sampling",
    "UnreadableMedia",
    "Video",
    "VideoInfo",
    "kind_of",
    "open_media",
]
