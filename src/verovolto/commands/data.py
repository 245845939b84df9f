"""`verovolto data`: look at a face set, convert it to Parquet, split it without leaks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from verovolto.core.errors import DataError, InputError
from verovolto.core.progress import counting_bar

if TYPE_CHECKING:
    from verovolto.data.faceset import FaceSet
    from verovolto.data.splits import Splits


def info(path: Path, *, sheet: Path | None = None, json: bool = False, seed: int = 0) -> None:
    """Count what a face set holds.

    Shows the faces of each split, label, method and compression, the identities and videos and how many rows
    lack them, image sizes, what splits share (a warning), the crop rule and the fingerprint.

    Parameters
    ----------
    path
        Folder of images (real/ and fake/, or with manifest.csv), Parquet file or folder, or split file.
    sheet
        Write a contact sheet of the faces to this PNG file.
    json
        Print one JSON object instead.
    seed
        Seed of the sample whose headers are read, and of the contact sheet.
    """
    from verovolto.data.faceset import FaceSet
    from verovolto.data.summary import summarise

    if seed < 0:
        raise InputError(f"--seed cannot be negative: {seed}")
    if sheet is not None and sheet.suffix.lower() != ".png":
        raise InputError(f"the contact sheet is {sheet.name}", hint="name a .png file")
    faces = FaceSet.open(path)
    summary = summarise(faces, seed=seed)
    print(_to_json(summary) if json else "\n".join(_info_lines(summary)))
    if sheet is not None:
        _write_sheet(faces, sheet, seed)
        if not json:
            print(f"contact sheet: {sheet}")
    elif not json:
        print("see the faces: add --sheet FILE.png")


def convert(
    path: Path,
    out: Path,
    *,
    shard_rows: int = 8192,
    max_unreadable: float = 0.01,
    crop_rule: str | None = None,
) -> None:
    """Write a face set as Parquet shards.

    The image bytes stay as they are. A conversion that was interrupted goes on when it is run again. Every
    image is decoded once; those that cannot be read are left out, counted and named.

    Parameters
    ----------
    path
        The face set to convert.
    out
        Folder for the shards, new or of the same conversion.
    shard_rows
        Faces in a shard.
    max_unreadable
        Largest share of images that may be unreadable, 0 to 1; beyond it the conversion fails.
    crop_rule
        Rule by which the faces were cropped, kept with the set: ffpp, tight, dfdc, or a JSON file.
    """
    from verovolto.data.crop_rule import read_rule
    from verovolto.data.faceset import FaceSet
    from verovolto.data.storage.convert import convert_set

    faces = FaceSet.open(path)
    rule = None if crop_rule is None else read_rule(crop_rule, flag="--crop-rule").to_dict()
    with counting_bar() as progress:
        task = progress.add_task(f"converting {faces.name}", total=len(faces))
        done = convert_set(
            faces,
            out,
            shard_rows=shard_rows,
            max_unreadable=max_unreadable,
            crop_rule=rule,
            on_progress=lambda rows: progress.advance(task, rows),
        )
    kept = f" ({done.resumed} stood there already)" if done.resumed else ""
    print(f"{done.faces:,} faces in {done.shards} shards{kept}: {out}")
    if done.unreadable:
        print(f"left out, unreadable: {len(done.unreadable)}")
        print("\n".join(f"  {line}" for line in done.unreadable[:20]))


def split(
    path: Path,
    out: Path | None = None,
    *,
    train: float = 0.8,
    val: float = 0.1,
    test: float = 0.1,
    seed: int = 0,
    official: Path | None = None,
    check: bool = False,
    force: bool = False,
) -> None:
    """Make splits that share no identity and no source video.

    Writes a split file: a small Parquet file that opens as a face set wherever one is asked for, the given
    set with these splits. The set itself is not touched, and no image is copied. A fake belongs to a split
    only if both its known identities do; others are left out and counted.

    Parameters
    ----------
    path
        The face set to split.
    out
        The split file to write, NAME.parquet.
    train
        Share of the faces, or number of faces (as all three).
    val
        Likewise, for choosing and calibrating.
    test
        Likewise, for the report.
    seed
        Seed of the cut; it is kept in the file.
    official
        Folder of FaceForensics++'s train.json, val.json and test.json, to be followed instead.
    check
        Write nothing; only check that the splits the set has share nobody.
    force
        Overwrite the split file.
    """
    from verovolto.data.faceset import FaceSet
    from verovolto.data.layouts.ffpp_splits import official_splits
    from verovolto.data.splits import SPLIT_COLUMNS, make_splits

    if not check:
        out = _split_target(path, out, force)
    faces = FaceSet.open(path)
    table = faces.columns(*SPLIT_COLUMNS)
    if check or out is None:
        _check(faces)
        return
    if official is not None:
        made = official_splits(table, official)
        recipe: dict[str, Any] = {"official": official.name}
    else:
        parts = {"train": train, "val": val, "test": test}
        made = make_splits(table, parts=parts, seed=seed)
        recipe = {"parts": parts, "seed": seed}
    _write_split(faces, made, out, recipe)


def _split_target(path: Path, out: Path | None, force: bool) -> Path:
    from verovolto.data.storage.split_file import read_split_file

    if out is None or out.suffix != ".parquet":
        raise InputError(
            f"the split file is {out or 'not given'}", hint="name one: verovolto data split SET NAME.parquet"
        )
    if out.exists() and not force:
        raise InputError(f"{out} exists", hint="give another name, or --force")
    if out.exists() and (out.resolve() == path.resolve() or read_split_file(out) is None):
        raise InputError(f"{out} is a face set, not an old split of it", hint="give another name")
    return out


def _check(faces: FaceSet) -> None:
    """Print the splits that a set has; raise if they share somebody."""
    from verovolto.data.splits import SPLIT_COLUMNS, check_disjoint

    table = faces.columns(*SPLIT_COLUMNS)
    if table["split"].null_count == len(table):
        raise DataError(
            f"{faces.path} has no splits", hint="make some: verovolto data split SET NAME.parquet"
        )
    check_disjoint(table)
    print("\n".join(_split_lines(faces)))
    print("no identity and no source video is shared between splits")
    unknown = table["target_identity"].null_count
    if unknown:
        print(f"  {unknown:,} rows of unknown identity could be checked by source video only, or not at all")


def _write_split(faces: FaceSet, made: Splits, out: Path, recipe: dict[str, Any]) -> None:
    """Check a split and write it; the file opens as a set, which is then shown."""
    from verovolto.data.faceset import FaceSet
    from verovolto.data.splits import SPLIT_COLUMNS, check_disjoint
    from verovolto.data.storage.split_file import write_split_file

    table = faces.columns(*SPLIT_COLUMNS)
    check_disjoint(table.set_column(table.schema.get_field_index("split"), "split", made.split))
    write_split_file(out, faces.path, table["face"], made.split, recipe=recipe)
    print("\n".join(_split_lines(FaceSet.open(out))))
    print(f"fakes left out, their identities lie in different splits: {made.dropped_fakes:,}")
    print(f"other faces in no split: {made.left_out:,}")
    for note in made.notes:
        print(f"note: {note}")
    print(f"use it as a face set: --data {out}")


def _split_lines(faces: FaceSet) -> list[str]:
    from verovolto.data.summary import count_splits

    rows: list[tuple[str, ...]] = [("split", "faces", "real", "fake", "identities", "videos")]
    for name, counts in count_splits(faces).items():
        figures = ("faces", "real", "fake", "target_identities", "source_videos")
        rows.append((name, *(f"{counts[key]:,}" for key in figures)))
    return _aligned(rows)


def _info_lines(summary: dict[str, Any]) -> list[str]:
    """The summary as lines for people."""
    images = summary["images"]
    sizes = ", ".join(f"{size} ({count})" for size, count in images["sizes_in_sample"].items())
    lines = [
        f"{summary['name']}: {summary['faces']:,} faces, {images['total_bytes'] / 1e6:,.1f} MB, "
        f"{summary['path']}"
    ]
    for title, key in (
        ("split", "counts"),
        ("method", "methods"),
        ("compression", "compressions"),
        ("dataset", "datasets"),
    ):
        lines += _count_lines(title, summary[key])
    lines.append("")
    for title in ("target_identities", "donor_identities", "source_videos", "pairs"):
        found = summary[title]
        lines.append(
            f"{title.replace('_', ' ')}: {found['distinct']:,} ({found['unknown_rows']:,} rows unknown)"
        )
    for kind, found in summary["clusters"].items():
        lines.append(
            f"intervals resample, by {kind}: {found['clusters']:,} clusters of {found['rows']:,} rows"
        )
    lines.append(f"image sizes in a sample of {images['sampled']}: {sizes or 'none readable'}")
    if images["unreadable_in_sample"]:
        lines.append(f"warning: {images['unreadable_in_sample']} images of the sample cannot be read")
    if summary["crop_size"]:
        crop = summary["crop_size"]
        lines.append(
            f"crops as cut: {crop['p5']:g} / {crop['median']:g} / {crop['p95']:g} px (p5, median, p95)"
        )
    for kind, found in summary["shared_between_splits"].items():
        if found["count"]:
            first = ", ".join(f"{key} ({', '.join(splits)})" for key, splits in found["first"][:3])
            lines.append(f"warning: splits share {found['count']:,} {kind}: {first}")
    lines.append(f"crop rule: {summary['crop_rule'] or 'not recorded'}")
    lines.append(f"fingerprint: {summary['fingerprint']}")
    return lines


def _count_lines(title: str, counts: list[dict[str, Any]]) -> list[str]:
    """A table of faces by (value, label); nothing where the column is unknown throughout."""
    if not counts:
        return []
    rows = [(title, "label", "faces")]
    rows += [(str(row[title] or "-"), str(row["label"]), f"{row['faces']:,}") for row in counts]
    return ["", *_aligned(rows)]


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Rows of cells, the first a header, as lines; columns of figures stand to the right."""
    columns = []
    for cells in zip(*rows, strict=True):
        width = max(len(cell) for cell in cells)
        figures = all(cell.replace(",", "").isdigit() for cell in cells[1:])
        columns.append([cell.rjust(width) if figures else cell.ljust(width) for cell in cells])
    return ["  ".join(cells).rstrip() for cells in zip(*columns, strict=True)]


def _write_sheet(faces: FaceSet, sheet: Path, seed: int) -> None:
    from verovolto.core.files import atomic_path
    from verovolto.data.contact_sheet import contact_sheet

    image = contact_sheet(faces, seed=seed)
    with atomic_path(sheet) as part:
        image.save(part, format="PNG")


def _to_json(value: dict[str, Any]) -> str:
    import json

    return json.dumps(value, indent=2, ensure_ascii=False)
