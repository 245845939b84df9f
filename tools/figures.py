"""Figures in the documents, made from results: kept in docs/figures, written between marks into the pages.

    verovolto evaluate default --data DATA --split test --false-alarm 0.05 --out RESULT
    python tools/figures.py keep default RESULT    # what pages need of RESULT/metrics.json: docs/figures/default.json
    python tools/figures.py                        # writes the figures into all pages anew, as `keep` does, too

A mark is `<!--fig WORDS-->`, the figures follow it up to `<!--/fig-->`: within a line, or around a table that stands
alone. WORDS are a name of docs/figures and what is shown of it: `auroc`, `pairs`, `flagged`, `missed` with their
intervals, `flagged value` the value alone; or a table of `TABLES` and the names it is made of. What a detector that
comes along flags of sources that took no part is read in its `detector.json`.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
FIGURES = ROOT / "docs" / "figures"
SHIPPED = ROOT / "src" / "verovolto" / "detectors"
PAGES = ("README.md", "docs/**/*.md", "src/verovolto/detectors/*/MODEL_CARD.md")
MARK = re.compile(r"<!--fig ([\w ./-]+)-->(.*?)<!--/fig-->", re.DOTALL)
RATE = "far_0.05"

SOURCES = {
    "dfdc-faces": "DFDC", "fairface": "FairFace", "celeba": "CelebA", "real-clips": "clips of people who talk, frames",
}  # fmt: skip
DETECTORS = {
    "default": "**default**: CLIP, several sources", "free": "`free`: CLIP, FairFace alone",
    "lite0": "`lite0`: EfficientNet-Lite0, one source",
}  # fmt: skip
IN_CARDS = {"default": "the default one", "free": "`free`", "lite0": "`lite0`, the former default"}
Figure = Mapping[str, Any]


# ---------------------------------------------------------------- keeping
def kept(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """What the pages need of the `metrics.json` of an evaluation at 5 %."""
    asked = (RATE, metrics["score"])
    at = next((each for each in metrics["thresholds"] if (each["name"], each["score"]) == asked), None)
    video = (metrics["levels"] or {}).get("video")
    found = {
        "faces": metrics["faces"], "clusters": metrics["interval"]["clusters"],
        "cluster": metrics["interval"]["cluster"], "score": metrics["score"],
        "threshold": at and at["value"], "auroc": metrics["auroc"], "pairs": metrics.get("pairs_ordered"),
        "flagged": at and at["false_alarm_rate"], "missed": at and at["missed_fakes"],
        "videos": video and video["faces"], "by_video": video and video["auroc"],
        "trivial": {
            name: {"auroc": each["auroc"], "pairs": each.get("pairs_ordered")}
            for name, each in metrics["baselines"].items()
        },
    }  # fmt: skip
    return found


def keep(name: str, result: Path) -> None:
    found = kept(json.loads((result / "metrics.json").read_text(encoding="utf-8")))
    FIGURES.mkdir(exist_ok=True)
    path = FIGURES / f"{name}.json"
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def read(name: str) -> dict[str, Any]:
    return json.loads((FIGURES / f"{name}.json").read_text(encoding="utf-8"))  # type: ignore[no-any-return]


def description(name: str) -> dict[str, Any]:
    """The `detector.json` of a detector that comes along."""
    return json.loads((SHIPPED / name / "detector.json").read_text(encoding="utf-8"))  # type: ignore[no-any-return]


# ---------------------------------------------------------------- figures in words
def plain(figure: Figure | None) -> str:
    """`0.837 [0.802, 0.872]`; a dash where there is none."""
    if figure is None or figure["value"] is None:
        return "–"
    interval = "" if figure["low"] is None else f" [{figure['low']:.3f}, {figure['high']:.3f}]"
    return f"{figure['value']:.3f}{interval}"


def share(figure: Figure | None) -> str:
    """`63.6 % [55.7, 71.1]`."""
    if figure is None or figure["value"] is None:
        return "–"
    interval = "" if figure["low"] is None else f" [{100 * figure['low']:.1f}, {100 * figure['high']:.1f}]"
    return f"{100 * figure['value']:.1f} %{interval}"


SHOWN: dict[str, Callable[[Figure | None], str]] = {
    "auroc": plain, "by_video": plain, "pairs": share, "flagged": share, "missed": share,
}  # fmt: skip


def shown(name: str, key: str, how: str = "") -> str:
    """A figure of docs/figures: `value` its value alone, `bold` one that stands out; `trivial bytes` of a statistic."""
    if key == "trivial":
        return plain(read(name)[key][how]["auroc"])
    text = SHOWN[key](read(name)[key])
    value, bracket, interval = text.partition(" [")
    if how == "value":
        return value
    return f"**{value}**{bracket}{interval}" if how == "bold" else text


# ---------------------------------------------------------------- tables
def table(head: tuple[str, ...], *rows: tuple[str, ...]) -> str:
    lines = ["|".join(f" {cell} " if cell else " " for cell in row) for row in (head, *rows)]
    lines.insert(1, "|".join(["---"] * len(head)))
    return "\n".join(f"|{line}|" for line in lines)


def headline(name: str) -> str:
    return table(
        ("", ""),
        (
            "how often a fake scores higher than a real face (AUROC; 0.5 is chance)",
            shown(name, "auroc", "bold"),
        ),
        ("real faces called suspect, where at most 5 % were promised", shown(name, "flagged", "bold")),
        ("fakes missed at that setting", shown(name, "missed", "bold")),
    )


def card(*names: str) -> str:
    """How good the first is, on the same faces as the others."""

    def row(label: str, key: str) -> tuple[str, ...]:
        return (label, *(shown(name, key) for name in names))

    return table(
        ("", "this detector", *(IN_CARDS[name] for name in names[1:])),
        row("AUROC", "auroc"),
        row("fakes that score higher than the real crop of the same frame", "pairs"),
        row("reals flagged at the threshold for 5 %", "flagged"),
        row("**fakes missed there**", "missed"),
    )


def judged(*names: str) -> str:
    """How good each is, one a row, on the same faces."""
    head = ("", "AUROC", "pairwise accuracy", "reals flagged, at 5 % asked for", "fakes missed there")
    return table(
        head,
        *(
            (
                DETECTORS.get(name, f"`{name}`"),
                *(shown(name, key) for key in ("auroc", "pairs", "flagged", "missed")),
            )
            for name in names
        ),
    )


def trivial_range(name: str) -> str:
    """`0.362 to 0.491`: of the trivial statistics beside a result."""
    values = [each["auroc"]["value"] for each in read(name)["trivial"].values()]
    return f"{min(values):.3f} to {max(values):.3f}"


def auroc_range(*names: str) -> str:
    """`0.39 to 0.49`: from the least of several detectors to the largest."""
    values = [read(name)["auroc"]["value"] for name in names]
    return f"{min(values):.2f} to {max(values):.2f}"


def elsewhere(*names: str) -> str:
    """Collections of which nothing was learned, a name of docs/figures each."""
    head = ("", "AUROC of frames", "by video", "frames of reals flagged", "fakes missed")
    return table(
        head,
        *(
            (_of(name), *(shown(name, key) for key in ("auroc", "by_video", "flagged", "missed")))
            for name in names
        ),
    )


def _of(name: str) -> str:
    collection = {"celebdf-clips": "Celeb-DF clips", "ffpp-crops": "FaceForensics++ crops"}
    detector, _, rest = name.partition("-")
    videos = read(name)["videos"]
    return f"{collection[rest]}, {videos['real']} and {videos['fake']} videos: {IN_CARDS[detector]}"


def left_out(name: str) -> str:
    """What is flagged of each source of real faces at 5 % by a detector made without it."""
    found = description(name)["about"]["left_out"]
    rows = [(SOURCES.get(source, source), share(each | {"value": each["share"]}), f"{each['of']:,}")
            for source, each in sorted(found.items(), key=lambda item: -item[1]["share"])]  # fmt: skip
    return table(("source", "flagged when left out", "faces"), *rows)


def left_out_range(name: str) -> str:
    shares = [100 * each["share"] for each in description(name)["about"]["left_out"].values()]
    return f"{min(shares):.2g} to {max(shares):.2g} %"


def trivial(name: str) -> str:
    rows = [
        (label, plain(each["auroc"]), share(each["pairs"])) for label, each in read(name)["trivial"].items()
    ]
    return table(("statistic", "AUROC", "pairwise accuracy"), *rows)


TABLES: dict[str, Callable[..., str]] = {
    "headline": headline, "card": card, "judged": judged, "elsewhere": elsewhere, "left-out": left_out,
    "left-out-range": left_out_range, "trivial": trivial, "trivial-range": trivial_range,
    "auroc-range": auroc_range,
}  # fmt: skip


# ---------------------------------------------------------------- pages
def made(words: str) -> str:
    """What a mark's words stand for."""
    first, *rest = words.split()
    return TABLES[first](*rest) if first in TABLES else shown(first, *rest)


def written(text: str) -> str:
    """A page with every figure made anew."""
    return MARK.sub(_filled, text)


def _filled(mark: re.Match[str]) -> str:
    words = mark[1].strip()
    figures = made(words)
    around = "\n\n" if "\n" in figures else ""
    return f"<!--fig {words}-->{around}{figures}{around}<!--/fig-->"


def pages() -> list[Path]:
    return sorted(path for pattern in PAGES for path in ROOT.glob(pattern))


def main(words: list[str]) -> None:
    if words:
        if len(words) != 3 or words[0] != "keep":
            raise SystemExit(__doc__)
        keep(words[1], Path(words[2]))
    for page in pages():
        text = page.read_text(encoding="utf-8")
        if (new := written(text)) != text:
            page.write_text(new, encoding="utf-8")
            print(page.relative_to(ROOT))


if __name__ == "__main__":
    main(sys.argv[1:])
