"""What every layout gives: media items with their metadata, and a count of what was not as it should be."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from verovolto.data.file_types import Problems


@dataclass(frozen=True, kw_only=True, slots=True)
class MediaItem:
    """One video, one photograph, or one video's extracted frames, with the metadata of its place and of the lists.

    Names are those of a face set's columns; what is unknown is None.

    Attributes:
        path: the video or image file; of extracted frames, their folder.
        frames: the frames in numerical order (of a photograph, itself); None for a video file.
        label: `real` or `fake`.
        dataset: the collection, within which identities and videos are named.
        video: name of this video in the collection.
        source_video: the video it was made of; its own name for a real one, and where the original is unknown,
            so that its frames still stay together; None for a photograph.
        method: how a fake was made.
        compression: such as `c23`.
        target_identity: who is seen in the scene.
        donor_identity: whose face was put in.
        split: `train`, `val`, `test`, from the official lists (or a plain folder's own folders) alone.
    """

    path: Path
    frames: tuple[Path, ...] | None
    label: Literal["real", "fake"]
    dataset: str
    video: str
    source_video: str | None = None
    method: str | None = None
    compression: str | None = None
    target_identity: str | None = None
    donor_identity: str | None = None
    split: str | None = None

    @property
    def key(self) -> tuple[str, str, str | None, str | None, str]:
        """What names a video: (dataset, label, method, compression, video). A folder's name alone does not.

        The label is part of it as in `data.splits.video_keys`: where no method is known, `real/7` is not `fake/7`.
        """
        return self.dataset, self.label, self.method, self.compression, self.video


@dataclass(frozen=True, kw_only=True, slots=True)
class People:
    """What a video's name says: the video it was made of, who is seen, whose face was put in."""

    source_video: str
    target: str | None = None
    donor: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Clip:
    """A video file (`frames` is None) or a folder of frames; `name` is the file's stem or the folder's name."""

    name: str
    path: Path
    frames: tuple[Path, ...] | None = None

    def item(
        self,
        label: Literal["real", "fake"],
        dataset: str,
        people: People | None = None,
        *,
        method: str | None = None,
        compression: str | None = None,
        split: str | None = None,
    ) -> MediaItem:
        """The item of this clip.

        Args:
            label: its class.
            dataset: the collection.
            people: what its name says; without, it is its own source video and nobody is known.
            method: see `MediaItem`.
            compression: likewise.
            split: likewise.
        """
        people = people or People(source_video=self.name)
        return MediaItem(
            path=self.path, frames=self.frames, label=label, dataset=dataset, video=self.name,
            source_video=people.source_video, method=method, compression=compression,
            target_identity=people.target, donor_identity=people.donor, split=split,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Listing:
    """The media of a folder: read `items` once, to the end; only then is `problems` complete."""

    layout: str
    root: Path
    items: Iterator[MediaItem]
    problems: Problems = field(default_factory=Problems)


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How one collection lies on disk.

    Attributes:
        name: what `layout=` calls it.
        looks_for: what it is recognised by, in words, for the message where nothing is.
        matches: whether a folder is laid out so; looks at names and at the beginning of lists only.
        walk: yields the items of a folder and counts problems on the way.
    """

    name: str
    looks_for: str
    matches: Callable[[Path], bool]
    walk: Callable[[Path, Problems], Iterator[MediaItem]]

    def items(self, root: Path) -> Iterator[MediaItem]:
        """All items below `root`, one at a time, always in the same order; problems are passed over."""
        return self.walk(root, Problems())

    def listing(self, root: Path) -> Listing:
        """The same items, with a count of the problems met on the way."""
        problems = Problems()
        return Listing(layout=self.name, root=root, items=self.walk(root, problems), problems=problems)
