"""Photos and videos as RGB frames: kind by content, limits, upright pictures, time stamps, damage."""

from verovolto.media.images import Photo
from verovolto.media.kinds import Kind, UnreadableMedia, kind_of
from verovolto.media.limits import Limits
from verovolto.media.opening import open_media
from verovolto.media.sampling import Sampling
from verovolto.media.tally import Decoded
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
