"""A scan as it is asked for: what the command line's flags say, as one value that runs and writes itself out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from verovolto.core.files import as_text
from verovolto.data.crop_rule import read_rule
from verovolto.detectors.base import load_detector
from verovolto.detectors.io import detector_folder
from verovolto.media import Limits
from verovolto.scanning.file_list import read_list
from verovolto.scanning.result import Scan
from verovolto.scanning.run import Load, OnProgress, scan_files
from verovolto.scanning.settings import FALSE_ALARM, FPS, SMALLEST, ScanSettings


@dataclass(frozen=True, kw_only=True)
class ScanRequest:
    """What is to be scanned, and how.

    Attributes:
        paths: files and folders, mixed.
        list_file: of paths beside these (`scanning.file_list.read_list`).
        names: how a path is called in the result, where it is not by itself: of files kept under another name.
        detector: its folder; None for the one of the package.
        fps: frames looked at a second of video, > 0; None for all.
        false_alarm: share of real files that may be called suspect, in (0, 1).
        faces: judge all faces of a frame, or the largest alone.
        smallest: least side of a face's box, pixels.
        crop: crop rule, where the detector has none.
        face_detector: what finds the faces; None for the one that the crop rule refers to.
        max_megapixels: largest photo and frame, millions of pixels; None for the defaults.
        max_megabytes: largest file, millions of bytes; None for the defaults.
        trust_anchors: certificates in PEM whose C2PA signatures are trusted.
    """

    paths: tuple[Path, ...]
    list_file: Path | None = None
    names: Mapping[Path, str] = field(default_factory=dict)
    detector: Path | None = None
    fps: float | None = FPS
    false_alarm: float = FALSE_ALARM
    faces: Literal["all", "largest"] = "all"
    smallest: float = SMALLEST
    crop: str | None = None
    face_detector: str | None = None
    max_megapixels: float | None = None
    max_megabytes: float | None = None
    trust_anchors: Path | None = None

    def words(self) -> list[str]:
        """The command line that asks for the same."""
        paths = (self.names.get(path, str(path)) for path in self.paths)
        words = ["verovolto", "scan", *(f"./{path}" if path.startswith("-") else path for path in paths)]
        words += [] if self.list_file is None else ["--list", str(self.list_file)]
        words += ["--detector", str(self.detector)] if self.detector else []
        words += ["--every-frame"] if self.fps is None else ["--fps", f"{self.fps:g}"]
        words += ["--false-alarm", f"{self.false_alarm:g}", "--smallest", f"{self.smallest:g}"]
        words += ["--faces", self.faces] if self.faces != "all" else []
        words += ["--crop", self.crop] if self.crop else []
        words += ["--face-detector", self.face_detector] if self.face_detector else []
        words += [] if self.max_megapixels is None else ["--max-megapixels", f"{self.max_megapixels:g}"]
        words += [] if self.max_megabytes is None else ["--max-megabytes", f"{self.max_megabytes:g}"]
        return words + ([] if self.trust_anchors is None else ["--trust-anchors", str(self.trust_anchors)])

    def detector_folder(self) -> Path:
        """The folder of the detector asked for; raises `DetectorError` where there is none."""
        return detector_folder("default" if self.detector is None else self.detector)

    def files(self) -> tuple[Path, ...]:
        """The paths, those of the list after the others; raises `InputError` for a list that cannot be read."""
        return self.paths if self.list_file is None else (*self.paths, *read_list(self.list_file))

    def settings(self, *, pictures: bool = False) -> ScanSettings:
        """How to look and decide; raises `InputError` for what cannot be."""
        return ScanSettings(
            crop=None if self.crop is None else read_rule(self.crop),
            face_detector=self.face_detector,
            fps=self.fps,
            false_alarm=self.false_alarm,
            faces=self.faces,
            smallest=self.smallest,
            limits=Limits.of(megapixels=self.max_megapixels, megabytes=self.max_megabytes),
            trust_anchors=self.trust_anchors,
            pictures=pictures,
        )

    def run(
        self,
        *,
        pictures: bool,
        command: str,
        workers: int | None = 0,
        threads: int = 1,
        load: Load = load_detector,
        on_progress: OnProgress | Callable[[float, int], None] = lambda done, total: None,
    ) -> Scan:
        """Scan; see `scanning.run.scan` for what it raises.

        Args:
            pictures: keep the key frames, for a report.
            command: for the record of the run.
            workers: see `scanning.run.scan`.
            threads: see `scanning.run.scan`.
            load: see `scanning.run.scan`.
            on_progress: see `scanning.run.OnProgress`.
        """
        result = scan_files(
            self.detector_folder(), self.files(), self.settings(pictures=pictures),
            workers=workers, threads=threads, command=command, load=load, on_progress=on_progress,
        )  # fmt: skip
        shown = {as_text(str(path)): name for path, name in self.names.items()}
        if not shown:
            return result
        files = tuple(replace(file, path=as_text(shown.get(file.path, file.path))) for file in result.files)
        return replace(result, files=files)
