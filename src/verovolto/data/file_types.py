"""What a file is, by its first bytes: names lie, and a wrong guess starts the wrong parser; and what was left out."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

HEAD_BYTES = 4096
"""How much of a file is looked at."""

SUPPORTED = (
    "JPEG, PNG, WebP, TIFF, HEIC, AVIF, BMP, GIF, PPM; MP4, MOV, MKV, WebM, AVI, MPEG, FLV, OGG, WMV, IVF"
)
"""For messages."""
COPY_AGAIN = "copy or download it again"


def _suffixes(names: str) -> frozenset[str]:
    return frozenset(f".{name}" for name in names.split())


VIDEO_SUFFIXES = _suffixes(
    "mp4 m4v mp4v mov qt avi divx mkv webm mpg mpeg mpe m2v vob wmv asf flv f4v 3gp 3g2 ts mts m2ts ogv ogm ivf"
)
HEIC_SUFFIXES = _suffixes("heic heif hif")
IMAGE_SUFFIXES = (
    _suffixes("jpg jpeg jpe jfif mpo png apng webp avif pgm ppm pnm bmp dib gif tif tiff") | HEIC_SUFFIXES
)
OTHER_SUFFIXES = _suffixes(
    "txt md rst csv tsv json jsonl yaml yml toml xml html htm log ini cfg conf css js py ipynb sh bat ps1 c h cpp "
    "pdf doc docx xls xlsx ppt pptx odt ods rtf tex zip tar gz tgz bz2 xz zst 7z rar iso "
    "npy npz pkl pickle pt pth ckpt safetensors onnx h5 hdf5 mat parquet pq feather arrow tfrecord lmdb mdb db sqlite "
    "mp3 wav flac m4a aac wma oga opus aiff aif amr mid srt vtt ass sub sha1 sha256 md5 url lnk desktop exe dll so "
    "xmp aae thm lrv torrent"
)
"""Files that are evidently no photos and no videos: they are not looked into, and not counted."""


@dataclass(frozen=True, kw_only=True)
class FileType:
    """The type of a photo or video file.

    Attributes:
        category: `photo` or `video`. Containers that may hold sound alone count as video until opened.
        format: its name in lower case: `jpeg`, `heic`, `mp4`, `matroska`, …
    """

    category: Literal["photo", "video"]
    format: str


_PHOTO_STARTS = (
    (b"\xff\xd8\xff", "jpeg"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
)
_VIDEO_STARTS = (
    (b"\x1a\x45\xdf\xa3", "matroska"),
    (b"\0\0\x01\xba", "mpeg"),
    (b"FLV\x01", "flv"),
    (b"OggS", "ogg"),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "asf"),
    (b"DKIF", "ivf"),
)
_SOUND_STARTS = (b"ID3", b"fLaC", b"\xff\xfb", b"\xff\xf3", b"\xff\xf2", b"\xff\xf1", b"\xff\xf9", b"#!AMR")
_RAW_STARTS = (b"FUJIFILMCCD-RAW", b"IIRO", b"IIRS", b"MMOR", b"IIU\0", b"FOVb", b"\0MRM", b"HEAPCCDR")
_RAW_NAMES = (
    "3fr arw bay cap cr2 crw dcr dcs dng erf fff iiq k25 kdc mdc mef mos mrw nef nrw orf pef ptx raf raw rw2 rwl rwz "
    "sr2 srf srw x3f"
)
_RAW_SUFFIXES = frozenset(f".{name}" for name in _RAW_NAMES.split())
_MP4_BOXES = {b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"styp", b"moof"}
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
_BMP_HEADER_BYTES = {12, 40, 52, 56, 64, 108, 124}


def read_head(path: Path) -> bytes:
    """The first `HEAD_BYTES` of a file; raises `OSError` as opening does."""
    with path.open("rb") as handle:
        return handle.read(HEAD_BYTES)


def file_type_of_bytes(head: bytes, *, suffix: str = "") -> FileType | None:
    """Tell the type of a file that begins with `head` (a few hundred bytes suffice); None for any other file.

    `suffix` is that of its name, for camera raw files alone: many have the form of a TIFF.

    >>> file_type_of_bytes(b"GIF89a")
    FileType(category='photo', format='gif')
    """
    if _is_raw(head, suffix):
        return None
    for start, name in _PHOTO_STARTS:
        if head.startswith(start):
            return FileType(category="photo", format=name)
    for start, name in _VIDEO_STARTS:
        if head.startswith(start):
            return FileType(category="video", format=name)
    if head[:4] == b"RIFF":
        return _riff(head)
    if head[4:8] in _MP4_BOXES:
        return _iso_media(head)
    return _by_structure(head)


def _riff(head: bytes) -> FileType | None:
    if head[8:12] == b"WEBP":
        return FileType(category="photo", format="webp")
    return FileType(category="video", format="avi") if head[8:12] == b"AVI " else None


def _iso_media(head: bytes) -> FileType:
    """MP4, MOV and 3GP, and the still images that share their form (ISO/IEC 14496-12, 23008-12)."""
    brands = _brands(head)
    if brands & _HEIC_BRANDS and (brands & {b"mif1", b"msf1"} or brands <= _HEIC_BRANDS):
        return FileType(category="photo", format="heic")
    if head[8:12] in {b"avif", b"avis"} or (head[8:12] == b"mif1" and b"avif" in brands):
        return FileType(category="photo", format="avif")
    return FileType(category="video", format="mp4")


def _brands(head: bytes) -> set[bytes]:
    """Major and compatible brands of a leading `ftyp` box; empty where there is none."""
    if head[4:8] != b"ftyp":
        return set()
    end = min(int.from_bytes(head[:4], "big"), len(head))
    return {head[at : at + 4] for at in (8, *range(16, end - 3, 4))}


def _by_structure(head: bytes) -> FileType | None:
    """Formats whose first bytes are too short a mark: a second one is asked for."""
    if re.match(rb"P[1-6][\s#]+\d*", head) and re.match(rb"P[1-6]\s+(#[^\n]*\n\s*)*\d+\s+\d+", head):
        return FileType(category="photo", format="ppm")
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in _BMP_HEADER_BYTES:
        return FileType(category="photo", format="bmp")
    return FileType(category="video", format="mpegts") if transport_packets(head) else None


def transport_packets(head: bytes) -> tuple[int, int] | None:
    """Where the first packet of a transport stream begins, and how long its packets are; None for another file.

    They are of 188 bytes, or 192 with a time code before each, or 204 with a check after (ISO/IEC 13818-1). A recording
    may begin inside a packet: then more of them have to follow.
    """
    for step in (188, 192, 204):
        before = 4 if step == 192 else 0
        for at in (0, 4):
            if len(head) > 4 + 2 * step and all(head[at + i * step] == 0x47 for i in range(3)):
                return (at - before) % step, step
        for at in range(min(step, len(head))):
            marks = head[at::step]
            if len(marks) >= 8 and marks.count(0x47) == len(marks):
                return (at - before) % step, step
    return None


def _is_raw(head: bytes, suffix: str) -> bool:
    """Whether a file is of a camera's sensor, whose embedded preview is not the picture."""
    tiff = head[:4] in (b"II*\0", b"MM\0*")
    if head.startswith(_RAW_STARTS) or (head[4:8] == b"ftyp" and head[8:12] == b"crx "):
        return True
    return tiff and (suffix.lower() in _RAW_SUFFIXES or head[8:10] == b"CR" or _is_raw_tiff(head))


def _is_raw_tiff(head: bytes) -> bool:
    """By the tags of the first picture: a colour filter array or a DNG, or a preview with the picture in sub-files.

    TIFF 6.0 and TIFF/EP (ISO 12234-2); DNG 1.7.
    """
    order: Literal["little", "big"] = "little" if head[:2] == b"II" else "big"
    at = int.from_bytes(head[4:8], order)
    tags: dict[int, int] = {}
    for entry in range(at + 2, at + 2 + 12 * int.from_bytes(head[at : at + 2], order), 12):
        field = head[entry : entry + 12]
        if len(field) == 12:
            short = field[2:4] == (3).to_bytes(2, order)
            tags[int.from_bytes(field[:2], order)] = int.from_bytes(field[8 : 10 if short else 12], order)
    preview = tags.get(0xFE) == 1 and 0x14A in tags
    return 0xC612 in tags or tags.get(0x106) in (32803, 34892) or preview


def what_else(head: bytes, *, suffix: str = "") -> tuple[str, str]:
    """(what the file is, what to do) for a file of no known kind."""
    if _is_raw(head, suffix):
        return "a camera raw file", "develop it to JPEG or TIFF first"
    if not head:
        return "an empty file (0 bytes)", COPY_AGAIN
    if head.startswith(_SOUND_STARTS) or head[8:12] == b"WAVE":
        return "a sound file", "there is no picture in it"
    if not any(head):
        return "a file of zeros", COPY_AGAIN
    if _is_text(head):
        return "a text file", "a failed download often leaves a web page under the video's name"
    return "a file of unknown kind", f"known are {SUPPORTED}"


def _is_text(head: bytes) -> bool:
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3:  # else only the last letter was cut by the end of `head`
            return False
        text = head[: error.start].decode("utf-8")
    return all(letter.isprintable() or letter in "\t\r\n\f\ufeff" for letter in text)


NO_MEDIA = frozenset(
    {
        "masks", "mask", "landmarks", "landmark", "audio", "@eadir", "#recycle", "@recycle", "thumbnails", "thumbnail",
        "thumbs", "__macosx", "__pycache__", "$recycle.bin", "system volume information", "lost+found", "_gsdata_",
    }
)  # fmt: skip
"""Folders of helpers, in lower case: what lies beside faces, and what systems and programs put there. As hidden ones
(`.thumbnails`), they are left out everywhere."""


LOOP = "folders that contain themselves through a link (left out)"


NOT_MEDIA = "files that are neither photo nor video by their content (left out)"


EXAMPLES = 5
"""Examples kept of each kind of problem: memory stays bounded whatever the size of the set."""


class Problems:
    """Counts of what was not as it should be, by kind, with the first examples; filled while items are read."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._examples: dict[str, list[str]] = {}
        self._notes: dict[str, None] = {}
        self.expected: set[Literal["real", "fake"]] = set()
        """Classes that the folders or lists of the set are there for, whether or not anything of them was found."""

    def add(self, kind: str, example: object) -> None:
        """Count one problem of a kind, such as `listed, but not there`."""
        self._counts[kind] += 1
        examples = self._examples.setdefault(kind, [])
        if len(examples) < EXAMPLES:
            examples.append(str(example))

    def note(self, text: str) -> None:
        """Note something of the whole set, once however often it is called."""
        self._notes[text] = None

    @property
    def counts(self) -> dict[str, int]:
        """How many problems of each kind there are so far."""
        return dict(self._counts)

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes on the whole set, such as why its splits are empty."""
        return tuple(self._notes)

    def examples(self, kind: str) -> tuple[str, ...]:
        """The first few problems of a kind."""
        return tuple(self._examples.get(kind, ()))

    def __bool__(self) -> bool:
        return bool(self._counts)

    def lines(self) -> list[str]:
        """One line a kind, with number and examples, then the notes."""
        lines = []
        for kind, count in self._counts.items():
            shown = ", ".join(self._examples[kind])
            lines.append(f"{count} {kind}: {shown}" + (", ..." if count > EXAMPLES else ""))
        return [*lines, *self._notes]


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder, or a link that leads to one."""
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def category_of(path: Path, problems: Problems | None = None) -> Literal["image", "video"] | None:
    """What a file is: by its name where that is evident, else by its first bytes; None for what is neither.

    Files that had to be looked into and are neither are counted, with the reason.
    """
    suffix = path.suffix.lower()
    if suffix in VIDEO_SUFFIXES:
        return "video"
    if suffix in IMAGE_SUFFIXES:
        return "image"
    if suffix in OTHER_SUFFIXES:
        return None
    try:
        head = read_head(path) if path.is_file() else None  # a pipe would block
    except OSError as error:
        head, reason = None, f"cannot be read ({error.strerror})"
    else:
        reason = "no file" if head is None else what_else(head, suffix=suffix)[0]
    kind = None if head is None else file_type_of_bytes(head, suffix=suffix)
    if kind is not None:
        return "image" if kind.category == "photo" else "video"
    if problems is not None:
        problems.add(NOT_MEDIA, f"{path} ({reason})")
    return None


def media_of(
    folder: Path, files: Iterable[str], problems: Problems | None = None
) -> tuple[list[str], list[str]]:
    """The images and the videos among the `files` of a folder; see `category_of`."""
    images: list[str] = []
    videos: list[str] = []
    for name in files:
        category = category_of(folder / name, problems)
        if category is not None:
            (images if category == "image" else videos).append(name)
    return images, videos
