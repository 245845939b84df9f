"""Check a scan's result: whether it, the files that it speaks of and the detector are still what they were.

Digests show every change that is not meant to deceive. Who forges a result writes a new digest into it: against that
helps a digest that was handed over by another way, or a signature.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, Literal

from verovolto.core.errors import DetectorError, InputError, VerovoltoError
from verovolto.data.crop_rule import CropRule
from verovolto.detectors.base import load_detector
from verovolto.detectors.io import detector_folder, digest_of, find_folder
from verovolto.media import Limits
from verovolto.media.provenance import Fingerprint
from verovolto.scanning.evidence import detector_evidence
from verovolto.scanning.run import find_media, scan_files
from verovolto.scanning.settings import ScanSettings

State = Literal["same", "changed", "missing", "cannot be verified"]
TOLERANCE = 0.001
"""Share of the range of calibrated scores by which a score may differ on another processor."""
P_TOLERANCE = 0.01
"""By so much a p-value may differ, and by two ranks among the faces calibrated on where those are more."""
_LARGEST_RESULT = 1 << 28


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that was looked at: `what`, its state, and `why` in words."""

    what: str
    state: State
    why: str = ""


@dataclass(frozen=True, kw_only=True)
class Result:
    """A result that was read: its values, what holds it, and the checks of its own bytes."""

    values: Mapping[str, Any]
    folder: Path
    checks: tuple[Check, ...]


def verify(
    path: Path, files: Iterable[Path] = (), *, detector: Path | None = None, rescan: bool = False
) -> list[Check]:
    """All checks of a result: its own bytes, the detector, each file; with `rescan` each file's verdict too.

    Args:
        path: what `verovolto scan` wrote: the JSON, or a bundle.
        files: where the scanned files lie now, or folders of them; by default where they lay.
        detector: its folder; by default the one that the result names.
        rescan: scan again, and compare scores within `TOLERANCE` and p-values within `P_TOLERANCE`.

    Raises:
        InputError: `path` is no result of a scan.
    """
    result = read_result(path)
    folder, judged_by = check_detector(result.values.get("detector", {}), detector)
    media: Sequence[Mapping[str, Any]] = result.values["media"]
    located = _locate(media, list(files), result.folder)
    checks = [check_file(file, place) for file, place in zip(media, located, strict=True)]
    again = []
    if rescan:
        if folder is None or judged_by.state != "same":
            again = [
                Check(what="scanned again", state="cannot be verified", why="the detector is not the same")
            ]
        else:
            again = _rescan(result.values, media, located, checks, folder)
    return [*result.checks, judged_by, *checks, *again]


def read_result(path: Path) -> Result:
    """Read a result, of a JSON file or a bundle, and check its own digests.

    Raises:
        InputError: it is no result of a scan.
    """
    try:
        archive = zipfile.is_zipfile(path)
        text, checks = _from_bundle(path) if archive else (path.read_text(encoding="utf-8"), [])
        values = json.loads(text, object_pairs_hook=_once)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, RuntimeError) as error:
        raise InputError(
            f"{path} cannot be read as a result: {error}", hint="give what scan --json wrote"
        ) from error
    if not isinstance(values, dict) or not isinstance(values.get("media"), list) or "promise" not in values:
        raise InputError(f"{path} is no result of a scan", hint="give what scan --json or --bundle wrote")
    name = f"{path.name}: result.json" if archive else path.name
    return Result(values=values, folder=path.parent, checks=(*checks, _check_values(name, values, text)))


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose names are different: of two values one would be seen and the other hashed."""
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        raise ValueError("a name stands twice in one object")
    return dict(pairs)


def _check_values(name: str, values: Mapping[str, Any], text: str) -> Check:
    rest = {key: value for key, value in values.items() if key != "digest"}
    if "digest" not in values:
        return Check(what=name, state="cannot be verified", why="it was written without a digest")
    if digest_of(rest) != values["digest"]:
        return Check(what=name, state="changed", why="its values do not have the digest that it states")
    as_written = json.dumps(values, indent=2, ensure_ascii=False) + "\n"
    spaced = "" if text == as_written else "the same values, laid out differently than they were written; "
    return Check(what=name, state="same", why=f"{spaced}digest {values['digest']}")


def _from_bundle(path: Path) -> tuple[str, list[Check]]:
    """The result's text, and a check of each file against the sums that lie beside it."""
    checks = []
    with zipfile.ZipFile(path) as archive:
        if sum(info.file_size for info in archive.infolist()) > _LARGEST_RESULT:
            raise ValueError("it unpacks to more than a bundle of a scan holds")
        lines = archive.read("SHA256SUMS").decode().splitlines()
        sums = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
        for name in sorted({*sums, *archive.namelist()} - {"SHA256SUMS"}):
            checks.append(_check_member(archive, name, sums.get(name), path.name))
        return archive.read("result.json").decode(), checks


def _check_member(archive: zipfile.ZipFile, name: str, digest: str | None, bundle: str) -> Check:
    what = f"{bundle}: {name}"
    if digest is None:
        return Check(what=what, state="changed", why="it was added")
    if name not in archive.namelist():
        return Check(what=what, state="missing")
    try:
        content = archive.read(name)
    except zipfile.BadZipFile as error:
        return Check(what=what, state="changed", why=str(error))
    same = hashlib.sha256(content).hexdigest() == digest
    return Check(what=what, state="same" if same else "changed")


def check_detector(written: Mapping[str, Any], given: Path | None) -> tuple[Path | None, Check]:
    """The folder of the detector that judged, and whether it is still the one that the result names.

    Without a folder given it is looked for where it lay, and, having moved, in the package.
    """
    digest, name = written.get("digest"), f"detector {written.get('name')}"
    if digest is None:
        return None, Check(what=name, state="cannot be verified", why="the result has no digest of it")
    lay = written.get("path")
    places = [given] if given is not None else [*([Path(lay)] if lay else []), detector_folder()]
    checks = [(place, _check_folder(name, find_folder(place), digest)) for place in places]
    return next((each for each in checks if each[1].state == "same"), checks[0])


def _check_folder(name: str, folder: Path, digest: str) -> Check:
    if not folder.is_dir():
        return Check(what=name, state="missing", why=f"there is no folder {folder}")
    try:
        load_detector(folder)
        found = detector_evidence(folder)["digest"]
    except DetectorError as error:
        return Check(what=name, state="changed", why=error.message)
    if found != digest:
        return Check(what=name, state="changed", why=f"{folder} holds another detector, of digest {found}")
    return Check(what=name, state="same", why=f"digest {digest}")


def check_file(file: Mapping[str, Any], place: Path | None) -> Check:
    """Whether the file that lies at `place` is the one that was scanned."""
    name, digest = str(file["path"]), file.get("sha256")
    if digest is None:
        return Check(what=name, state="cannot be verified", why="the result has no SHA-256 of it")
    found = None if place is None else Fingerprint.of(place)
    if found is None:
        return Check(
            what=name, state="missing", why="no such file among those given" if place is None else ""
        )
    if found.sha256 != digest:
        return Check(what=name, state="changed", why=f"SHA-256 {found.sha256}, it was {digest}")
    return Check(what=name, state="same", why=f"SHA-256 {digest}")


def _locate(media: Sequence[Mapping[str, Any]], files: Sequence[Path], folder: Path) -> list[Path | None]:
    """Where each file lies now: by its content among those given, then by its name; or where it lay."""
    if not files:
        return [_where_it_lay(str(file["path"]), folder) for file in media]
    there = [found.path for found in find_media(files)]
    by_digest = {found.sha256: path for path in there if (found := Fingerprint.of(path)) is not None}
    by_name = {path.name: path for path in there}
    return [
        by_digest.get(str(file.get("sha256"))) or by_name.get(PurePath(str(file["path"])).name)
        for file in media
    ]


def _where_it_lay(name: str, folder: Path) -> Path:
    """The path as it was written; where nothing lies there, relative to the folder of the result."""
    path = Path(name)
    beside = folder / name
    return beside if not path.exists() and beside.exists() else path


def settings_of(values: Mapping[str, Any], *, own_rule: bool) -> ScanSettings:
    """The settings with which a result was made; without the crop rule where the detector has its own."""
    settings = values["settings"]
    least = settings["least"]
    return ScanSettings(
        crop=None if own_rule else CropRule.from_dict(settings["crop_rule"]),
        face_detector=settings["face_detector"],
        fps=settings["fps"],
        false_alarm=settings["false_alarm"],
        faces=settings["faces"],
        smallest=least["side"],
        sharpness=least["sharpness"],
        confidence=least["confidence"],
        limits=Limits(**settings.get("limits", {})),
    )


def _rescan(
    values: Mapping[str, Any],
    media: Sequence[Mapping[str, Any]],
    located: Sequence[Path | None],
    checks: Sequence[Check],
    folder: Path,
) -> list[Check]:
    """Scan what is the same again, a check a file."""
    opened = load_detector(find_folder(folder))
    found = []
    try:
        settings = settings_of(values, own_rule=opened.crop_rule is not None)
        for file, place, check in zip(media, located, checks, strict=True):
            what = f"{file['path']}, scanned again"
            if check.state != "same" or place is None:
                found.append(Check(what=what, state="cannot be verified", why="the file is not the same"))
                continue
            [again] = scan_files(opened, [place], settings).to_dict()["media"]
            found.append(compare_media(what, file, again, values["promise"]["calibrated_on"]))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"the result lacks what it takes to scan again: {error!r}") from error
    except VerovoltoError as error:
        found.append(Check(what="scanned again", state="cannot be verified", why=str(error)))
    return found


def compare_media(
    what: str, before: Mapping[str, Any], now: Mapping[str, Any], calibrated_on: Mapping[str, Any]
) -> Check:
    """Whether two results on one file agree: verdicts, people and frames alike, scores and p-values within tolerance.

    Args:
        what: name of the check.
        before: of `media[]`.
        now: the same of the other result.
        calibrated_on: of `promise`: the range of scores is the unit of their tolerance.
    """
    for name in ("status", "verdict", "frames_looked_at"):
        if before[name] != now[name]:
            return Check(what=what, state="changed", why=f"{name}: {now[name]}, it was {before[name]}")
    old, new = before["tracks"], now["tracks"]
    if [len(track["timeline"]) for track in old] != [len(track["timeline"]) for track in new]:
        return Check(what=what, state="changed", why="other people or other frames were judged")
    points = [
        (a, b)
        for was, is_ in zip(old, new, strict=True)
        for a, b in zip(was["timeline"], is_["timeline"], strict=True)
    ]
    score = max((abs(a["score"] - b["score"]) for a, b in points), default=0.0)
    judged = [(a["p_value"], b["p_value"]) for a, b in zip([before, *old], [now, *new], strict=True)]
    if any((a is None) != (b is None) for a, b in judged):
        return Check(what=what, state="changed", why="other people were judged")
    p_value = max((abs(a - b) for a, b in judged if a is not None), default=0.0)
    shown = f"scores differ by at most {score:.2g}, p-values by {p_value:.2g}"
    within = score <= TOLERANCE * (calibrated_on["highest"] - calibrated_on["lowest"])
    within &= p_value <= max(P_TOLERANCE, 2 / (calibrated_on["real_faces"] + 1))
    return Check(what=what, state="same" if within else "changed", why=shown)
