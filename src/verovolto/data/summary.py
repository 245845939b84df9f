"""What a face set holds: counted, in lines for people, and as a contact sheet (`verovolto data info`)."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from verovolto.core.errors import DataError, UnreadableImage
from verovolto.data.decode import image_size
from verovolto.data.faceset import FaceSet
from verovolto.data.splits import (
    SPLIT_COLUMNS,
    check_disjoint,
    cluster_ids,
    cluster_kinds,
    shared_between_splits,
)
from verovolto.data.tables import aligned

SAMPLE = 256
"""Images whose headers are read to state the sizes."""
TILE, CAPTION = 96, 22
"""Side of a face on the contact sheet and height of a caption, in pixels."""


def summarise(faces: FaceSet, *, seed: int = 0) -> dict[str, Any]:
    """Count a set; a JSON object whose keys are the lines of `data info`.

    Sizes of images are those of a random sample of `SAMPLE` headers, drawn by `seed`; everything else covers
    every row. Columns are read one after the other, no image is decoded.
    """
    table = faces.columns(*SPLIT_COLUMNS)
    return {
        "name": faces.name,
        "path": str(faces.path),
        "faces": len(faces),
        "counts": _counts(faces, "split", "label"),
        "methods": _counts(faces, "method", "label"),
        "compressions": _counts(faces, "compression", "label"),
        "datasets": _counts(faces, "dataset", "label"),
        "target_identities": _distinct(table["target_identity"]),
        "donor_identities": _distinct(table["donor_identity"]),
        "source_videos": _distinct(table["source_video"]),
        "pairs": _distinct(table["pair"]),
        "clusters": {
            kind: {"clusters": clusters, "rows": rows}
            for kind, (clusters, rows) in cluster_kinds(cluster_ids(table)).items()
        },
        "per_split": count_splits(faces),
        "crop_size": _crop_size(faces),
        "images": _images(faces, seed),
        "shared_between_splits": {
            kind: {"count": len(shared), "first": [[key, splits] for key, splits in shared[:5]]}
            for kind, shared in shared_between_splits(table).items()
        },
        "left_out": list(faces.left_out),
        "crop_rule": faces.crop_rule,
        "fingerprint": faces.fingerprint(),
    }


def count_splits(faces: FaceSet) -> dict[str, dict[str, int]]:
    """Faces, reals, fakes, identities and source videos of each split."""
    table = faces.columns("split", "label", "target_identity", "source_video")
    result = {}
    for split in sorted(pc.unique(table["split"].drop_null()).to_pylist()):
        part = table.filter(pc.equal(table["split"], split))
        result[split] = {
            "faces": len(part),
            "real": int(pc.sum(pc.equal(part["label"], "real")).as_py()),
            "fake": int(pc.sum(pc.equal(part["label"], "fake")).as_py()),
            "target_identities": len(pc.unique(part["target_identity"].drop_null())),
            "source_videos": len(pc.unique(part["source_video"].drop_null())),
        }
    return result


def _counts(faces: FaceSet, *names: str) -> list[dict[str, Any]]:
    """Rows of each combination of values, sorted; nothing if the first column is unknown throughout."""
    table = faces.columns(*names)
    if names[0] != "split" and table[names[0]].null_count == len(table):
        table = table.slice(0, 0)
    groups = table.group_by(list(names)).aggregate([([], "count_all")]).to_pylist()
    rows = [{**{name: group[name] for name in names}, "faces": group["count_all"]} for group in groups]
    return sorted(rows, key=lambda row: [str(row[name]) for name in names])


def _distinct(column: Any) -> dict[str, int]:
    return {"distinct": len(pc.unique(column.drop_null())), "unknown_rows": column.null_count}


def _crop_size(faces: FaceSet) -> dict[str, float] | None:
    """Larger side of the crops before they were resized: 5th, 50th and 95th percentile, in pixels."""
    table = faces.columns("crop_width", "crop_height")
    side = pc.max_element_wise(table["crop_width"], table["crop_height"]).drop_null()
    if not len(side):
        return None
    low, middle, high = np.percentile(side.to_numpy(), [5, 50, 95])
    return {"p5": float(low), "median": float(middle), "p95": float(high)}


def _images(faces: FaceSet, seed: int) -> dict[str, Any]:
    """Bytes and sizes of the images, and how many headers of the sample could not be read."""
    sample = np.sort(_random(seed).permutation(len(faces))[:SAMPLE])
    sizes: Counter[str] = Counter()
    lengths = []
    for row in sample:
        try:
            encoded = faces.encoded(int(row))
            width, height = image_size(encoded)
        except UnreadableImage:
            continue
        lengths.append(len(encoded))
        sizes[f"{width}x{height}"] += 1
    return {
        "sampled": len(sample),
        "unreadable_in_sample": len(sample) - len(lengths),
        "sizes_in_sample": dict(sizes.most_common(8)),
        "median_bytes_in_sample": int(np.median(lengths)) if lengths else None,
        "total_bytes": int(np.maximum(faces.sizes(), 0).sum()),
    }


def summary_lines(summary: dict[str, Any]) -> list[str]:
    """What `summarise` returns, in lines for people."""
    images, crop = summary["images"], summary["crop_size"]
    megabytes = images["total_bytes"] / 1e6
    lines = [f"{summary['name']}: {summary['faces']:,} faces, {megabytes:,.1f} MB, {summary['path']}"]
    for title in ("split", "method", "compression", "dataset"):
        lines += _count_lines(title, summary["counts" if title == "split" else f"{title}s"])
    lines.append("")
    for title in ("target_identities", "donor_identities", "source_videos", "pairs"):
        count = summary[title]
        lines.append(
            f"{title.replace('_', ' ')}: {count['distinct']:,} ({count['unknown_rows']:,} rows unknown)"
        )
    for kind, count in summary["clusters"].items():
        lines.append(
            f"intervals resample, by {kind}: {count['clusters']:,} clusters of {count['rows']:,} rows"
        )
    sizes = ", ".join(f"{size} ({count})" for size, count in images["sizes_in_sample"].items())
    lines.append(f"image sizes in a sample of {images['sampled']}: {sizes or 'none readable'}")
    if images["unreadable_in_sample"]:
        lines.append(f"warning: {images['unreadable_in_sample']} images of the sample cannot be read")
    if crop:
        lines.append(
            f"crops as cut: {crop['p5']:g} / {crop['median']:g} / {crop['p95']:g} px (p5, median, p95)"
        )
    for kind, shared in summary["shared_between_splits"].items():
        if shared["count"]:
            first = ", ".join(f"{key} ({', '.join(splits)})" for key, splits in shared["first"][:3])
            lines.append(f"warning: splits share {shared['count']:,} {kind}: {first}")
    lines += [f"left out: {line}" for line in summary["left_out"]]
    lines.append(f"crop rule: {summary['crop_rule'] or 'not recorded'}")
    lines.append(f"fingerprint: {summary['fingerprint']}")
    return lines


def split_lines(faces: FaceSet) -> list[str]:
    """A table of the splits of a set, in lines for people."""
    rows: list[tuple[str, ...]] = [("split", "faces", "real", "fake", "identities", "videos")]
    for name, counts in count_splits(faces).items():
        rows.append((name, *(f"{count:,}" for count in counts.values())))
    return aligned(rows)


def check_splits(faces: FaceSet) -> list[str]:
    """Check that the splits of a set are disjoint; lines for people that say which they are and what was checked.

    Raises `DataError` for a set without splits, `SplitError` where two share an identity or a source video.
    """
    table = faces.columns(*SPLIT_COLUMNS)
    if table["split"].null_count == len(table):
        raise DataError(
            f"{faces.path} has no splits", hint="make some: verovolto data split SET NAME.parquet"
        )
    check_disjoint(table)
    nobody = pc.is_null(table["target_identity"])
    nothing = pc.and_(nobody, pc.is_null(table["source_video"]))
    no_donor = pc.and_(pc.equal(table["label"], "fake"), pc.is_null(table["donor_identity"]))
    gaps = {
        "rows of unknown identity: checked by source video alone": pc.and_not(nobody, nothing),
        "rows of unknown identity and source video: not checked": nothing,
        "fakes of unknown donor: whose face was put in is not checked": no_donor,
    }
    counts = {gap: int(pc.sum(rows).as_py() or 0) for gap, rows in gaps.items()}
    known = ", as far as they are known:" if any(counts.values()) else ""
    lines = [*split_lines(faces), f"no identity and no source video is shared between splits{known}"]
    return lines + [f"  {count:,} {gap}" for gap, count in counts.items() if count]


def _count_lines(title: str, counts: list[dict[str, Any]]) -> list[str]:
    """A table of faces by (value, label); nothing where the column is unknown throughout."""
    if not counts:
        return []
    rows = [(title, "label", "faces")]
    rows += [(str(row[title] or "-"), str(row["label"]), f"{row['faces']:,}") for row in counts]
    return ["", *aligned(rows)]


def contact_sheet(faces: FaceSet, *, across: int = 12, seed: int = 0, most: int = 24) -> Image.Image:
    """A few faces of each split, label and method, to see what a set holds.

    Args:
        faces: the set.
        across: faces in a row.
        seed: decides which.
        most: groups shown at most, in the order of their names.

    Returns:
        RGB image: for each group a caption and a row of faces; one that cannot be read is a crossed tile.
    """
    random = _random(seed)
    groups = sorted(_groups(faces).items())[:most]
    sheet = Image.new("RGB", (across * TILE, max(1, len(groups)) * (TILE + CAPTION)), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=14)
    for line, (name, rows) in enumerate(groups):
        top = line * (TILE + CAPTION)
        draw.text((4, top + 2), f"{name}: {len(rows):,} faces", fill="black", font=font)
        for column, row in enumerate(random.permutation(rows)[:across]):
            sheet.paste(_tile(faces, int(row)), (column * TILE, top + CAPTION))
    return sheet


def _groups(faces: FaceSet) -> dict[str, NDArray[np.int64]]:
    """Rows of each combination of split, label and method."""
    table = faces.columns("split", "label", "method")
    columns = [column.fill_null("").combine_chunks().dictionary_encode() for column in table.columns]
    codes = np.stack([np.asarray(column.indices) for column in columns], axis=1)
    unique, which = np.unique(codes, axis=0, return_inverse=True)
    values = [
        [column.dictionary[int(code)].as_py() for column, code in zip(columns, row, strict=True)]
        for row in unique
    ]
    return {" / ".join(filter(None, row)): np.flatnonzero(which == index) for index, row in enumerate(values)}


def _tile(faces: FaceSet, row: int) -> Image.Image:
    try:
        image = Image.fromarray(faces.image(row).permute(1, 2, 0).numpy())
    except UnreadableImage:
        tile = Image.new("RGB", (TILE, TILE), "lightgrey")
        ImageDraw.Draw(tile).line([(0, 0), (TILE, TILE)], fill="red")
        return tile
    image.thumbnail((TILE - 2, TILE - 2))
    return image


def _random(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(seed)))
