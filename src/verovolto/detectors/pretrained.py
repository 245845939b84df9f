"""Detectors from and to a model hub, and the README that they carry: front matter for its index, and the model card.

Everything in a README is read: from the model card beside the detector, where there is one, else from `detector.json`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from verovolto.calibration.thresholds import Calibration
from verovolto.core.errors import CalibrationError, InputError
from verovolto.core.files import write_text
from verovolto.detectors.base import Detector, load_detector
from verovolto.detectors.hub import locate, push
from verovolto.detectors.io import LICENCES


def from_pretrained(
    path_or_id: str | Path,
    *,
    revision: str | None,
    local_files_only: bool,
    cache_dir: str | Path | None,
    device: str,
) -> Detector:
    """See `Detector.from_pretrained`.

    Args:
        path_or_id: a shipped name, a folder, or `OWNER/NAME`.
        revision: branch, tag or commit.
        local_files_only: ask nobody.
        cache_dir: where fetched detectors are kept.
        device: where the arithmetic is done.
    """
    folder, origin = locate(
        path_or_id, revision=revision, local_files_only=local_files_only, cache_dir=cache_dir
    )
    detector = load_detector(folder, device)
    if origin is not None:
        detector.metadata = {**detector.metadata, "hub": asdict(origin)}
    return detector


def save_pretrained(detector: Detector, folder: Path, *, licence: str | None) -> Path:
    """See `Detector.save_pretrained`."""
    detector.save(folder)
    texts = texts_beside(detector.folder)
    for name, text in texts.items():
        write_text(folder / name, text)
    stated = licence or next((name for name in LICENCES if name in texts), detector.metadata.get("licence"))
    calibration = detector.calibration.get(detector.default_score)
    card = readme(
        detector.name or detector.kind, detector.metadata, calibration, card=texts.get(CARD), licence=stated
    )
    write_text(folder / README, card)
    return folder


def push_to_hub(
    detector: Detector, repository: str, *, licence: str | None, private: bool, message: str | None
) -> str:
    """See `Detector.push_to_hub`.

    Args:
        detector: it is sent.
        repository: `OWNER/NAME`.
        licence: of the weights.
        private: whether a new repository is for its owner alone.
        message: of the commit.
    """
    with TemporaryDirectory() as place:
        folder = save_pretrained(detector, Path(place) / "detector", licence=licence)
        check_licence(folder)
        return push(folder, repository, private=private, message=message).commit


CARD, README = "MODEL_CARD.md", "README.md"
TAGS = ("verovolto", "deepfake-detection", "anomaly-detection", "one-class", "face")
RATE = 0.05

_METRICS = {
    "AUROC": "roc_auc",
    "reals flagged": "false_alarm_rate",
    "fakes missed": "missed_fakes",
    "fakes that score higher": "pairwise_accuracy",
}
"""Rows of a model card's tables, by how they begin, and what the hub's index calls them."""
_ROW = re.compile(r"^\| *\**([^|*]+?)\** *\| *\**([0-9.]+)( %)?", re.MULTILINE)


def readme(
    name: str,
    metadata: Mapping[str, Any],
    calibration: Calibration | None,
    *,
    card: str | None = None,
    licence: str | None = None,
) -> str:
    """The README of a detector, as Markdown with YAML front matter.

    Args:
        name: of the model.
        metadata: where the detector comes from.
        calibration: of its default score.
        card: text of its model card; None makes one of what the detector says of itself.
        licence: identifier of the hub's list (`cc-by-nc-4.0`), or the name of a file beside it that states the terms.
    """
    figures = [*_figures_of_card(card)] if card else [*_figures_of_calibration(calibration)]
    front = {**_licence(licence), "library_name": "verovolto", "pipeline_tag": "image-classification",
             "tags": [*TAGS, name], "metrics": sorted({each["type"] for each in figures}),
             "model-index": [{"name": name, "results": [_result(metadata, figures)]}]}  # fmt: skip
    # JSON is YAML, and quotes what must be quoted.
    lines = [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in front.items()]
    body = card or _own_card(name, metadata, figures)
    return "\n".join(["---", *lines, "---", "", body, _USE.format(name=name)])


def texts_beside(folder: Path | None) -> dict[str, str]:
    """Model card and licence that lie beside a detector, by the names of their files."""
    if folder is None:
        return {}
    there = [name for name in (CARD, *LICENCES) if (folder / name).is_file()]
    return {name: (folder / name).read_text(encoding="utf-8") for name in there}


def check_licence(folder: Path) -> None:
    """Raises `InputError` where the README of a folder does not say under which licence the weights are."""
    if 'license: "unknown"' in (folder / README).read_text(encoding="utf-8").splitlines():
        raise InputError(
            "nothing says under which licence these weights are",
            hint="state it with --licence, such as cc-by-4.0; the terms of what was learned from go with the weights",
        )


_USE = """
## Use

```python
import verovolto

detector = verovolto.Detector.from_pretrained("OWNER/NAME", revision="COMMIT")
detector.scan("clip.mp4")
```

`verovolto pull OWNER/NAME --out {name}` fetches it as a folder that every command takes as a detector. Nothing here is
a pickle: weights are safetensors, the rest is JSON, and both are checked against their digests.
"""


def _licence(licence: str | None) -> dict[str, str]:
    if licence in LICENCES:
        return {"license": "other", "license_name": Path(licence).stem.lower(), "license_link": licence}
    return {"license": licence or "unknown"}


def _figures_of_card(card: str) -> Iterator[dict[str, Any]]:
    """The figures in the tables of a model card that the hub's index has a name for, each once."""
    seen = set()
    for label, number, percent in _ROW.findall(card):
        kind = next((kind for begins, kind in _METRICS.items() if label.startswith(begins)), None)
        if kind is not None and kind not in seen:
            seen.add(kind)
            yield {"type": kind, "name": label, "value": _share(number, bool(percent))}


def _share(number: str, percent: bool) -> float:
    return round(float(number) / 100, 6) if percent else float(number)


def _figures_of_calibration(calibration: Calibration | None) -> Iterator[dict[str, Any]]:
    """Fakes missed at the usual rate, by method: all that a detector knows of itself."""
    try:
        missed = {} if calibration is None else calibration.missed(RATE)
    except CalibrationError:  # too few faces for that rate
        return
    for method, each in missed.items():
        label = f"fakes missed at a false-alarm rate of {RATE:.0%}: {method}"
        yield {"type": "missed_fakes", "name": label, "value": round(each.share, 6)}


def _result(metadata: Mapping[str, Any], figures: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    data = _named(metadata.get("trained_on", {}).get("name"))
    return {
        "task": {"type": "image-classification", "name": "deepfake detection, positive is fake"},
        "dataset": {"type": "held-out", "name": f"faces held out from {data}"},
        "metrics": [*figures],
    }


def _own_card(name: str, metadata: Mapping[str, Any], figures: Sequence[Mapping[str, Any]]) -> str:
    learned, calibrated = metadata.get("trained_on", {}), metadata.get("calibrated_on", {})
    clusters = "{clusters} clusters by {cluster}".format(**calibrated) if "cluster" in calibrated else ""
    rows = {
        "what it is": f"a one-class detector of deepfakes (`{name}`): learned from real faces only",
        "learned from": f"{learned.get('faces', 'unknown:')} real faces of {_named(learned.get('name'))}",
        "calibrated on": ", ".join(
            filter(None, (f"{calibrated.get('real', 'no')} other real faces", clusters))
        ),
        "weights it began with": metadata.get("weights", "not stated"),
        "seed": metadata.get("seed", "not stated"),
    }
    rows |= {each["name"]: f"{each['value']:.1%}" for each in figures}
    table = "".join(f"| {key} | {value} |\n" for key, value in rows.items())
    return f"# {name}\n\n| | |\n|---|---|\n{table}\n{_MEANING}"


_MEANING = """\
A higher score is more likely fake. `suspect` says that a face is unlike the real faces that the detector knows, at a
stated false-alarm rate; it is no proof of a forgery, and `no sign found` is none that a face is real.
"""


def _named(name: object) -> str:
    return str(name) if name else "a set that is not named"
