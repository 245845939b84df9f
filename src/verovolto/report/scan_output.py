"""What a scan writes: its JSON, its report, and both in one bundle with their digests. Each file appears whole.

The report is the page of `report.scan_page`, or the examiner's form: a document to be signed. That says what the page
says, in the order of a forensic report, and leaves to people what is theirs: the question, the conclusion, the
signatures.
"""

from __future__ import annotations

import hashlib
import io
import platform
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from verovolto import __version__
from verovolto.calibration.thresholds import share_interval
from verovolto.core.files import atomic_path, print_json, write_json
from verovolto.report import scan_text as words
from verovolto.report.html import Page, environment
from verovolto.report.scan_page import build_scan_page, picture_uri, scan_view
from verovolto.scanning.result import OperatingPoint, Scan

LIMITS = (
    "The detector knows real faces of one kind and was tried on known forgeries of one kind. Of forgeries made in "
    "other ways, and of pictures unlike those that it was calibrated on, the figures of this report may say nothing.",
    "It looks at faces alone: neither at sound, nor at the scene, nor at whether the picture shows what it is said to.",
    "A file that was compressed, cut or filmed off a screen may have lost the traces that the detector looks for.",
    "A p-value is not the probability that a face is real; one minus it is not the probability that it is forged.",
    "Digests show that the files are those that were examined. They say nothing of what happened to them before.",
)
_ABOUT = ("seed", "weights", "trained_on", "leaky", "contaminated")

RESULT, REPORT, SUMS = "result.json", "report", "SHA256SUMS"
"""What lies in a bundle: the JSON, the folder of the report, and the digests as `sha256sum -c` reads them."""
Form = Literal["page", "examiner"]
_EPOCH = (1980, 1, 1, 0, 0, 0)


def build_examiner_report(scan: Scan, *, command: str, hide_faces: bool = False) -> Page:
    """Fill the template.

    Args:
        scan: with the pictures of its tracks, or without.
        command: that gives the result again.
        hide_faces: see `report.scan_page.build_scan_page`.
    """
    view = scan_view(scan, show=lambda pixels: picture_uri(pixels, hide=hide_faces), hide_faces=hide_faces)
    values = scan.to_dict()
    for file in view["files"]:
        file["item"] = file["medium"] + 1
    templates = environment()
    templates.filters["printable"] = words.printable
    html = templates.get_template("examiner.html.j2").render(
        version=__version__,
        python=platform.python_version(),
        view=view,
        result={**values, "settings": rounded(values["settings"])},
        validation=validation(scan.operating_point),
        training={key: value for key, value in scan.detector.get("about", {}).items() if key in _ABOUT},
        not_examined=_not_examined(scan, values["media"]),
        limits=LIMITS,
        command=words.printable(command),
        hide_faces=hide_faces,
    )
    return Page(html=html)


def rounded(value: Any) -> Any:
    """JSON values with four significant digits of every fraction, as people read them.

    >>> rounded({"a": [0.761344850063324, 3]})
    {'a': [0.7613, 3]}
    """
    if isinstance(value, Mapping):
        return {name: rounded(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(inner) for inner in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


def validation(operating_point: OperatingPoint) -> list[tuple[str, str]]:
    """The figures that stand behind the verdicts, with the numbers that they rest on."""
    lines = [
        ("false alarms, by construction", f"at most {words.percent(operating_point.false_alarm)} of files"),
        ("calibrated on", words.calibrated_text(operating_point)),
    ]
    for method, each in operating_point.missed.items():
        people = min(each.of, operating_point.fake_clusters or each.of)
        low, high = share_interval(each.share * people, people)
        counted = (
            f"of {people} groups of people" if operating_point.fake_clusters else "if all were independent"
        )
        interval = f"{words.percent(low)} to {words.percent(high)}, {counted}"
        share = f"{words.percent(each.share)} ({each.missed} of {each.of}; 95 % interval {interval})"
        lines.append((f"known fakes missed: {words.printable(method)}", share))
    if not operating_point.missed:
        lines.append(("known fakes missed", "nobody knows: there were none to try it on"))
    return lines


def _not_examined(scan: Scan, media: list[Mapping[str, Any]]) -> list[str]:
    """Everything that has no verdict, with its reason."""
    lines = [
        f"Item {number}: {words.listed(medium['problems'])}"
        for number, medium in enumerate(media, 1)
        if medium["verdict"] is None
    ]
    for number, file in enumerate(scan.files, 1):
        lines += [f"Item {number}: {line}" for line in words.unjudged_lines(file)]
        if file.medium == "video" and scan.settings.get("fps"):
            lines.append(
                f"Item {number}: {file.frames} frames were looked at, {scan.settings['fps']:g} a second; "
                "those between them were not"
            )
    lines += [words.printable(line) for line in scan.left_out]
    if scan.not_reached:
        lines.append(f"{words.number(scan.not_reached, 'file')}: the scan was stopped before")
    return lines


BUILDERS: Mapping[Form, Callable[..., Page]] = {"page": build_scan_page, "examiner": build_examiner_report}


@dataclass(frozen=True, kw_only=True)
class ScanOutput:
    """Where the result of a scan goes; None for what nobody asked for.

    Attributes:
        json: the file of the result; `-` is for the caller to print.
        report: folder of the HTML page.
        bundle: the zip of both.
        hide_faces: whether the page shows mosaics.
        form: `page`, or `examiner`: the order of a forensic report, to be printed and signed.
    """

    json: str | None = None
    report: Path | None = None
    bundle: Path | None = None
    hide_faces: bool = False
    form: Form = "page"

    @property
    def pictures(self) -> bool:
        """Whether key frames are needed."""
        return self.report is not None or self.bundle is not None

    @property
    def wanted(self) -> bool:
        """Whether anything is to be written."""
        return self.pictures or self.json is not None

    def words(self) -> list[str]:
        """The flags that ask for the same."""
        words = [] if self.json is None else ["--json", self.json]
        words += [] if self.report is None else ["--report", str(self.report)]
        words += [] if self.bundle is None else ["--bundle", str(self.bundle)]
        words += [] if self.form == "page" else ["--form", self.form]
        return words + (["--no-faces"] if self.hide_faces else [])

    def write(self, scan: Scan, command: str) -> Path | None:
        """Write all of it; the page's file, where there is one."""
        if self.json not in (None, "-"):
            write_json(Path(str(self.json)), scan.to_dict())
        if not self.pictures:
            return None
        page = BUILDERS[self.form](scan, command=command, hide_faces=self.hide_faces)
        written = None if self.report is None else page.write(self.report)
        if self.bundle is not None:
            write_bundle(self.bundle, bundle_members(scan, page))
        return written


def bundle_members(scan: Scan, page: Page) -> dict[str, bytes]:
    """The files of a bundle by name, but for the digests; the result is what the file of `--json` holds."""
    result = io.StringIO()
    print_json(scan.to_dict(), result)
    figures = {f"{REPORT}/figures/{name}.png": png for name, png in page.figures.items()}
    return {RESULT: result.getvalue().encode(), f"{REPORT}/report.html": page.html.encode(), **figures}


def write_bundle(path: Path, members: Mapping[str, bytes]) -> None:
    """Write a zip of the members and `SHA256SUMS`; the same members make the same bytes."""
    sums = "".join(f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in members.items())
    with atomic_path(path) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in {**members, SUMS: sums.encode()}.items():
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), content, zipfile.ZIP_DEFLATED)
