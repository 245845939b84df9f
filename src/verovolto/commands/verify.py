"""`verovolto verify`: whether a scan's result, its files and its detector are still what they were."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter


def verify(
    result: Path,
    files: Annotated[list[Path] | None, Parameter(negative=())] = None,
    /,
    *,
    detector: Path | None = None,
    rescan: bool = False,
) -> int:
    """Check that a scan's result, the files it speaks of and the detector are unchanged.

    Says of each `same`, `changed`, `missing` or `cannot be verified`. Exit code 0: all are the same; 1: something is
    not; 2: wrong use. Digests show every change but that of a forger, who would write new ones.

    Parameters
    ----------
    result
        What `verovolto scan` wrote with --json or --bundle.
    files
        Where the scanned files lie now, or folders of them; they are found by their content. [default: where they lay]
    detector
        Folder of the detector. [default: where it lay, or the one of the package]
    rescan
        Scan again, too, and compare: verdicts and frames must be the same, scores within a thousandth of the range of
        the scores calibrated on, p-values within 0.01 or two ranks among the faces calibrated on.
    """
    from verovolto.report.scan_text import printable
    from verovolto.scanning.verify import verify as verify_result

    checks = verify_result(result, files or [], detector=detector, rescan=rescan)
    width = max(len(check.state) for check in checks)
    for check in checks:
        why = f" ({check.why})" if check.why else ""
        print(printable(f"{check.state:{width}}  {check.what}{why}"))
    different = sum(check.state != "same" for check in checks)
    print(f"{len(checks) - different} of {len(checks)} checks: the same")
    return int(different > 0)
