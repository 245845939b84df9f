"""Frames looked at and faces found, counted by class, and their summary in lines. Pure functions of records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from verovolto.core.files import as_text
from verovolto.data.layouts import Listing
from verovolto.data.tables import aligned
from verovolto.preparation.extract import Record

UNEVEN = 0.05
"""Difference between real and fake, in the share of frames with a face, above which a warning is due."""

COVERAGE = "coverage.json"
ALL = "all"
_SHOWN = 20
_COUNTED = ("label", "method", "videos", "unreadable", "damaged", "frames", "faces")


@dataclass(kw_only=True)
class Counts:
    """Sums over the records of one class (`label`, and `method` where there is one)."""

    label: str
    method: str | None
    videos: int = 0
    unreadable: int = 0
    damaged: int = 0
    frames: int = 0
    faces: int = 0
    no_face: Counter[str] = field(default_factory=Counter)

    def add(self, record: Record) -> None:
        """Count one record."""
        self.videos += 1
        self.unreadable += record.status == "unreadable"
        self.damaged += record.status == "damaged"
        self.frames += record.frames
        self.faces += record.faces
        self.no_face.update(record.no_face)

    @property
    def no_face_frames(self) -> int:
        """Frames without a stored face."""
        return sum(self.no_face.values())

    @property
    def share(self) -> float | None:
        """Share of frames with a face, in [0, 1]; None without frames."""
        return 1 - self.no_face_frames / self.frames if self.frames else None

    def to_dict(self) -> dict[str, Any]:
        """The counts as JSON values."""
        return {name: getattr(self, name) for name in _COUNTED} | {
            "no_face": self.no_face_frames,
            "no_face_reasons": dict(sorted(self.no_face.items())),
            "share_with_face": None if self.share is None else round(self.share, 6),
        }

    @staticmethod
    def from_dict(value: dict[str, Any]) -> Counts:
        """Read what `to_dict` wrote."""
        return Counts(**{name: value[name] for name in _COUNTED}, no_face=Counter(value["no_face_reasons"]))


def count(records: Iterable[Record]) -> list[Counts]:
    """Counts by label and method: reals first, then fakes by method, then all together."""
    classes: dict[tuple[str, str | None], Counts] = {}
    total = Counts(label=ALL, method=None)
    for record in records:
        key = (record.label, record.method)
        classes.setdefault(key, Counts(label=record.label, method=record.method)).add(record)
        total.add(record)
    order = sorted(classes, key=lambda key: (key[0] != "real", key[0], key[1] or ""))
    return [*(classes[key] for key in order), total]


def warnings(counts: Iterable[Counts]) -> list[str]:
    """What should make a reader careful: faces found more often in one class than in the other."""
    frames, without = Counter[str](), Counter[str]()
    for each in counts:
        frames[each.label] += each.frames
        without[each.label] += each.no_face_frames
    if not (frames["real"] and frames["fake"]):
        return []
    real, fake = (1 - without[label] / frames[label] for label in ("real", "fake"))
    if abs(real - fake) <= UNEVEN + 1e-12:
        return []
    return [
        f"a face was found in {real:.1%} of the real and {fake:.1%} of the fake frames: what is left out differs "
        "between the classes, and figures made of this set may be biased by it"
    ]


def table(counts: Iterable[Counts]) -> list[tuple[str, ...]]:
    """The counts as rows of text, the first a header."""
    head = ("label", "method", "videos", "unreadable", "damaged", "frames", "faces", "no face", "with face")
    rows: list[tuple[str, ...]] = [head]
    for each in counts:
        share = "-" if each.share is None else f"{each.share:.1%}"
        figures = (each.videos, each.unreadable, each.damaged, each.frames, each.faces, each.no_face_frames)
        rows.append((each.label, each.method or "-", *(f"{value:,}" for value in figures), share))
    return rows


def coverage_of(records: Sequence[Record], listing: Listing, rows: int) -> dict[str, Any]:
    """What `coverage.json` holds; its form is in docs/prepare.md."""
    classes = count(records)
    problems = listing.problems
    return {
        "schema_version": 1,
        "layout": listing.layout,
        "faces": rows,
        "unreadable": sum(record.status == "unreadable" for record in records),
        "classes": [each.to_dict() for each in classes],
        "media": [
            {"path": record.path, "status": record.status, "reasons": list(record.reasons)}
            for record in records
            if record.status != "ok"
        ],
        "listing": {"problems": problems.counts, "lines": [as_text(line) for line in problems.lines()]},
        "warnings": warnings(classes),
    }


def summary_lines(coverage: dict[str, Any], out: Path, *, already: bool = False) -> list[str]:
    """What a user should know of a preparation, a line each; `already` if it was finished before."""
    lines = aligned(table(Counts.from_dict(value) for value in coverage["classes"]), left=2)
    reasons = coverage["classes"][-1]["no_face_reasons"]
    if reasons:
        lines.append(
            "frames without a face: " + ", ".join(f"{n:,} {reason}" for reason, n in reasons.items())
        )
    for each in coverage["media"][:_SHOWN]:
        lines.append(f"{each['status']}: {each['path']}: {'; '.join(each['reasons'])}")
    if len(coverage["media"]) > _SHOWN:
        lines.append(f"... and {len(coverage['media']) - _SHOWN} more in {out / COVERAGE}")
    lines += [f"note: {line}" for line in coverage["listing"]["lines"]]
    lines += [f"warning: {line}" for line in coverage["warnings"]]
    again = " (stood there already; --force makes it anew)" if already else ""
    lines.append(f"{coverage['faces']:,} faces: {out}{again}")
    lines.append(f"see them: verovolto data info {out} --sheet FILE.png")
    return lines
