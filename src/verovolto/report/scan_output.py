"""What a scan writes: its JSON, its report, and both in one bundle with their digests. Each file appears whole."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from verovolto.core.files import atomic_path, write_text
from verovolto.report.examiner import build_examiner_report
from verovolto.report.html import Page
from verovolto.report.scan_page import build_scan_page
from verovolto.scanning.result import Scan

RESULT, REPORT, SUMS = "result.json", "report", "SHA256SUMS"
"""What lies in a bundle: the JSON, the folder of the report, and the digests as `sha256sum -c` reads them."""
Form = Literal["page", "examiner"]
BUILDERS: Mapping[Form, Callable[..., Page]] = {"page": build_scan_page, "examiner": build_examiner_report}
_EPOCH = (1980, 1, 1, 0, 0, 0)


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

    def words(self) -> list[str]:
        """The flags that ask for the same."""
        words = [] if self.json is None else ["--json", self.json]
        words += [] if self.report is None else ["--report", str(self.report)]
        words += [] if self.bundle is None else ["--bundle", str(self.bundle)]
        words += [] if self.form == "page" else ["--form", self.form]
        return words + (["--no-faces"] if self.hide_faces else [])

    def write(self, scan: Scan, command: str) -> Path | None:
        """Write all of it; the page's file, where there is one."""
        text = result_text(scan)
        if self.json not in (None, "-"):
            write_text(Path(str(self.json)), text)
        if not self.pictures:
            return None
        page = BUILDERS[self.form](scan, command=command, hide_faces=self.hide_faces)
        written = None if self.report is None else page.write(self.report)
        if self.bundle is not None:
            write_bundle(self.bundle, bundle_members(text, page))
        return written


def result_text(scan: Scan) -> str:
    """The result as the file of `--json` holds it."""
    return json.dumps(scan.to_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def bundle_members(result: str, page: Page) -> dict[str, bytes]:
    """The files of a bundle by name, but for the digests."""
    figures = {f"{REPORT}/figures/{name}.png": png for name, png in page.figures.items()}
    return {RESULT: result.encode(), f"{REPORT}/report.html": page.html.encode(), **figures}


def write_bundle(path: Path, members: Mapping[str, bytes]) -> None:
    """Write a zip of the members and `SHA256SUMS`; the same members make the same bytes."""
    sums = "".join(f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in members.items())
    with atomic_path(path) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in {**members, SUMS: sums.encode()}.items():
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), content, zipfile.ZIP_DEFLATED)
