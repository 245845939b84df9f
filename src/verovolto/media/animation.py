"""Moving pictures in a photograph's format: animated GIF, WebP, PNG and AVIF, and JPEGs one after the other."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

from PIL import Image

from verovolto.core.errors import InputError
from verovolto.data import jpeg
from verovolto.data.decode import opened_image, to_pixels
from verovolto.media.container import reason
from verovolto.media.decode_report import DecodeCounter, Frame
from verovolto.media.sampling import Sampling, selector_of
from verovolto.media.types import FileType, Limits
from verovolto.media.video import Video, VideoInfo, open_video

_MILLISECOND = Fraction(1, 1000)
_SHORTEST_MS, _DEFAULT_MS = 10, 100
"""A frame that states 10 ms or less is shown for 100 ms, as browsers do."""

_ANIMATED = {"gif", "webp", "png", "avif"}
_LOOKED_INTO = 1 << 26
"""Bytes of a JPEG in which a second one is looked for."""


def open_animation(path: Path, file_type: FileType, limits: Limits) -> Video | None:
    """Open a file of a photograph's format as a video; None where it does not hold several frames.

    What phones and cameras put behind a photograph (MPO, depth, another size of it) and the pages of a TIFF are no
    frames. A file that does not open gives None: who opens it as a photograph says why.

    Raises:
        UnreadableMedia: JPEGs one after the other, of which none can be decoded, or too large.
    """
    if file_type.format == "jpeg":
        several = _holds_jpegs(path)
        return open_video(path, FileType(category="video", format="mjpeg"), limits) if several else None
    if file_type.format not in _ANIMATED:
        return None
    with suppress(Exception):  # Pillow's plugins raise nearly anything on hostile bytes
        if path.stat().st_size <= limits.photo_bytes:
            return _animation(path, file_type, limits)
    return None


def _holds_jpegs(path: Path) -> bool:
    """Whether JPEGs of one size follow each other with nothing between them, as recorders write them (raw MJPEG)."""
    try:
        with path.open("rb") as handle:
            encoded = handle.read(_LOOKED_INTO)
    except OSError:
        return False
    if b"\xff\xd9\xff\xd8\xff" not in encoded or b"MPF\0" in encoded[: jpeg.metadata_bytes(encoded)]:
        return False
    first, end = jpeg.header(encoded), jpeg.end(encoded)
    return first is not None and jpeg.header(encoded[end:]) == first


def _animation(path: Path, file_type: FileType, limits: Limits) -> Video | None:
    encoded = path.read_bytes()
    with opened_image(encoded) as image:
        declared = getattr(image, "n_frames", 1) - _unshown(image)
        size = image.size
        if declared < 2 or size[0] * size[1] > limits.frame_pixels:
            return None
        shown = to_pixels(image)
    ends = array("q")
    with suppress(Exception):  # where it breaks off, decoding says so
        ends.extend(at + lasts for at, lasts, _ in _pictures(encoded))
    if len(ends) < 2:
        return None
    height, width = int(shown.shape[1]), int(shown.shape[2])
    info = VideoInfo(
        width=width,
        height=height,
        stored_size=(width, height),
        rotation=0,
        mirrored=False,
        codec=file_type.format,
        rate=Fraction(1000 * len(ends), ends[-1]),
        duration_s=ends[-1] / 1000,
        declared_frames=declared,
        pixel_aspect=Fraction(1),
    )
    return Animation(
        path=path, file_type=FileType(category="video", format=file_type.format), info=info, limits=limits
    )


class Animation(Video):
    """An animated image: its bytes are read anew each time, of its frames none is kept."""

    def frames(self, sampling: Sampling | None = None, *, threads: int = 1) -> Iterator[Frame]:
        """Yield the sampled frames as `Video.frames` does, each with the time at which it is shown."""
        if threads < 1:
            raise InputError(f"a decoder needs at least 1 thread, not {threads}")
        self.report = None
        counter = DecodeCounter(declared_frames=self.info.declared_frames)
        encoded = self.path.read_bytes()
        selector = selector_of(sampling or Sampling(), _MILLISECOND, self._ticks)
        try:
            for at, _, image in _pictures(encoded):
                if self._limits.seconds is not None and at > 1000 * self._limits.seconds:
                    counter.stopped = f"decoded up to the limit of {self._limits.seconds:g} s"
                    break
                counter.count(at / 1000, sound=True)
                if selector.take(at):
                    counter.sampled += 1
                    yield Frame(index=counter.decoded - 1, time_s=at / 1000, image=to_pixels(image))
        except Exception as error:  # Pillow's plugins raise nearly anything on hostile bytes
            counter.faults[f"data that does not decode: {reason(error)}"] += 1
        if not counter.stopped:
            counter.failed = max(0, (self.info.declared_frames or 0) - counter.decoded)
        self.report = counter.result()

    def _ticks(self) -> array[int]:
        ticks = array("q")
        with suppress(Exception):
            ticks.extend(at for at, _, _ in _pictures(self.path.read_bytes()))
        return ticks


def _pictures(encoded: bytes) -> Iterator[tuple[int, int, Image.Image]]:
    """Beginning and duration in milliseconds of each frame, and the image at that frame."""
    at = 0
    with opened_image(encoded) as image:
        for number in range(_unshown(image), getattr(image, "n_frames", 1)):
            image.seek(number)
            image.load()
            stated = float(image.info.get("duration") or 0)
            lasts = round(stated) if stated > _SHORTEST_MS else _DEFAULT_MS
            yield at, lasts, image
            at += lasts


def _unshown(image: Image.Image) -> int:
    """1 where the first picture of a PNG is for programs alone that know no animations."""
    return int(bool(getattr(image, "default_image", False)))
