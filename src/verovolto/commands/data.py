"""`verovolto data`: look at a face set, convert it to Parquet, split it without leaks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from verovolto.core.errors import InputError, SplitError

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
    from json import dumps

    from verovolto.core.files import atomic_path
    from verovolto.data.faceset import FaceSet
    from verovolto.data.summary import contact_sheet, summarise, summary_lines

    if seed < 0:
        raise InputError(f"--seed cannot be negative: {seed}")
    if sheet is not None and sheet.suffix.lower() != ".png":
        raise InputError(f"the contact sheet is {sheet.name}", hint="name a .png file")
    faces = FaceSet.open(path)
    summary = summarise(faces, seed=seed)
    print(dumps(summary, indent=2, ensure_ascii=False) if json else "\n".join(summary_lines(summary)))
    if sheet is not None:
        image = contact_sheet(faces, seed=seed)
        with atomic_path(sheet) as part:
            image.save(part, format="PNG")
    if not json:
        print(f"contact sheet: {sheet}" if sheet else "see the faces: add --sheet FILE.png")


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
        Rule by which the faces were cropped, kept with the set: ffpp, tight, dfdc, wide, or a JSON file.
    """
    from verovolto.core.progress import ProgressDisplay
    from verovolto.data.crop_rule import read_rule
    from verovolto.data.faceset import FaceSet
    from verovolto.data.storage.convert import convert_set

    faces = FaceSet.open(path)
    rule = None if crop_rule is None else read_rule(crop_rule, flag="--crop-rule").to_dict()
    with ProgressDisplay() as progress:
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
    for line in faces.left_out:
        print(f"left out: {line}")
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
    one_class: bool = False,
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
        Likewise, for model selection and calibration.
    test
        Likewise, for the report.
    seed
        Seed of the split; it is kept in the file.
    official
        Folder of FaceForensics++'s train.json, val.json and test.json, to be followed instead.
    check
        Write nothing; only check that the splits the set has share nobody.
    one_class
        Accept splits without any real, or without any fake, of a set that has both.
    force
        Overwrite the split file.
    """
    from verovolto.data.faceset import FaceSet
    from verovolto.data.layouts.ffpp import official_splits
    from verovolto.data.splits import SPLIT_COLUMNS, lost_classes, make_splits
    from verovolto.data.summary import check_splits

    if not check:
        out = _split_target(path, out, force)
    faces = FaceSet.open(path)
    if check or out is None:
        print("\n".join(check_splits(faces)))
        return
    table = faces.columns(*SPLIT_COLUMNS)
    if official is not None:
        made = official_splits(table, official)
        recipe: dict[str, Any] = {"official": official.name}
    else:
        parts = {"train": train, "val": val, "test": test}
        made = make_splits(table, parts=parts, seed=seed)
        recipe = {"parts": parts, "seed": seed}
    if not one_class and (lost := lost_classes(table, made.split)):
        raise SplitError(
            f"all {' and '.join(lost)} faces of the set would be in no split",
            hint="people of fakes lie in different splits, or in no list; --one-class accepts it",
        )
    _write_split(faces, made, out, recipe)


def _split_target(path: Path, out: Path | None, force: bool) -> Path:
    from verovolto.data.storage import read_split_file

    if out is None or out.suffix != ".parquet":
        raise InputError(
            f"the split file is {out or 'not given'}", hint="name one: verovolto data split SET NAME.parquet"
        )
    if out.exists() and not force:
        raise InputError(f"{out} exists", hint="give another name, or --force")
    if out.exists() and (out.resolve() == path.resolve() or read_split_file(out) is None):
        raise InputError(f"{out} is a face set, not an old split of it", hint="give another name")
    return out


def _write_split(faces: FaceSet, made: Splits, out: Path, recipe: dict[str, Any]) -> None:
    """Check a split and write it; the file opens as a set, which is then shown."""
    from verovolto.data.faceset import FaceSet
    from verovolto.data.splits import SPLIT_COLUMNS, check_disjoint
    from verovolto.data.storage import write_split_file
    from verovolto.data.summary import split_lines

    table = faces.columns(*SPLIT_COLUMNS)
    check_disjoint(table.set_column(table.schema.get_field_index("split"), "split", made.split))
    write_split_file(out, faces.path, table["face"], made.split, recipe=recipe)
    print("\n".join(split_lines(FaceSet.open(out))))
    print(f"fakes left out, their identities lie in different splits: {made.dropped_fakes:,}")
    print(f"other faces in no split: {made.left_out:,}")
    for note in made.notes:
        print(f"note: {note}")
    print(f"use it as a face set: --data {out}")
