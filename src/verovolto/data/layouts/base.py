"""What every layout gives: media items with their metadata, and a count of what was not as it should be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

EXAMPLES = 5
"""Examples kept of each kind of problem: memory stays bounded whatever the size of the set."""


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
