"""Any face set to Parquet shards; each appears whole, and a conversion that was killed goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from verovolto.core.errors import DataError, InputError, UnreadableImage
from verovolto.core.workdir import differences
from verovolto.data.decode import decode_image
from verovolto.data.faceset import FaceSet
from verovolto.data.schema import IMAGE
from verovolto.data.storage import BLOCK
from verovolto.data.storage.parquet import parquet_files, shard_metadata, shard_name, write_shard

SHARD_ROWS = 8192


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """What a conversion did.

    Attributes:
        shards: in all.
        resumed: shards that an earlier run had written.
        faces: in the Parquet set.
        unreadable: `face: why` of each image that could not be read; those faces are left out.
    """

    shards: int
    resumed: int
    faces: int
    unreadable: tuple[str, ...]


def convert_set(
    faces: FaceSet,
    out: Path,
    *,
    shard_rows: int = SHARD_ROWS,
    max_unreadable: float = 0.01,
    crop_rule: dict[str, Any] | None = None,
    on_progress: Callable[[int], None] = lambda rows: None,
) -> Conversion:
    """Write a set as Parquet shards; image bytes stay as they are.

    Every image is decoded once; faces that cannot be read are left out, named and counted. Shards that an earlier
    conversion of the same rows wrote are kept. Memory holds the metadata of one shard and the images of 64 rows.

    Args:
        faces: the set.
        out: folder for the shards, new or of the same conversion.
        shard_rows: faces in a shard, >= 64.
        max_unreadable: largest share of images that may be unreadable, 0 to 1.
        crop_rule: written into the set; by default the rule of `faces`.
        on_progress: called with the number of rows done since the last call.

    Raises:
        DataError: if more images cannot be read, or all of a class, or if `out` holds anything else.
        InputError: for options out of range, and for a set that is a look into wider crops (`FaceSet.seen_by`).
    """
    if shard_rows < BLOCK or not 0 <= max_unreadable <= 1:
        raise InputError(
            f"shard rows {shard_rows}, max unreadable {max_unreadable}: at least {BLOCK}, and 0 to 1"
        )
    if len(faces) and faces.look(0) is not None:
        raise InputError(
            "looks into wider crops cannot be written without encoding them anew",
            hint="convert the set itself, or prepare one by the narrower rule",
        )
    count = -(-len(faces) // shard_rows)
    meta = {
        "name": faces.name,
        "crop_rule": faces.crop_rule if crop_rule is None else crop_rule,
        "source_fingerprint": faces.fingerprint(),
        "shard_rows": shard_rows,
        "shards": count,
    }
    _check_out(out, meta)
    unreadable: list[str] = []
    resumed = 0
    for index in range(count):
        path = out / shard_name(index, count)
        start = index * shard_rows
        rows = range(start, min(start + shard_rows, len(faces)))
        if path.exists():
            resumed += 1
            unreadable += shard_metadata(path)["unreadable"]
            on_progress(len(rows))
        else:
            unreadable += _write(faces, rows, path, {**meta, "shard": index}, on_progress)
        _check_share(unreadable, len(faces), max_unreadable)
    _check_classes(faces, out)
    return Conversion(
        shards=count, resumed=resumed, faces=len(faces) - len(unreadable), unreadable=tuple(unreadable)
    )


def _write(
    faces: FaceSet, rows: range, path: Path, meta: dict[str, Any], on_progress: Callable[[int], None]
) -> list[str]:
    """Write one shard, and return the faces left out, which its metadata names too."""
    unreadable: list[str] = []
    view = faces.take(rows)
    table = view.columns()
    schema = table.schema.remove_metadata().insert(1, pa.field(IMAGE, pa.binary()))
    groups = _row_groups(view, table, unreadable, on_progress)
    write_shard(path, groups, schema, metadata={**meta, "unreadable": unreadable})
    return unreadable


def _row_groups(
    view: FaceSet, table: pa.Table, unreadable: list[str], on_progress: Callable[[int], None]
) -> Iterator[pa.Table]:
    """The rows of a view with their images, 64 at a time; what cannot be decoded goes to `unreadable`."""
    sizes = table.schema.get_field_index("image_bytes")
    for start in range(0, len(view), BLOCK):
        part = table.slice(start, BLOCK)
        images = [_checked(view, start + i, part["face"][i].as_py(), unreadable) for i in range(len(part))]
        lengths = pa.array([None if image is None else len(image) for image in images], pa.int32())
        part = part.set_column(sizes, "image_bytes", lengths)
        part = part.append_column(IMAGE, pa.array(images, pa.binary()))
        yield part.filter(pc.is_valid(part[IMAGE]))
        on_progress(len(images))


def _checked(view: FaceSet, i: int, face: str, unreadable: list[str]) -> bytes | None:
    """Encoded bytes of an image that can be decoded; None, and a note, for one that cannot."""
    try:
        encoded = view.encoded(i)
        decode_image(encoded, name=face)
    except UnreadableImage as error:
        unreadable.append(error.message)
        return None
    return encoded


def _check_share(unreadable: list[str], total: int, limit: float) -> None:
    if len(unreadable) > limit * total:
        raise DataError(
            f"{len(unreadable)} of {total} images cannot be read, more than the share {limit:g} allowed: "
            + "; ".join(unreadable[:3]),
            hint="mend the set, or allow more with --max-unreadable",
        )


def _check_classes(faces: FaceSet, out: Path) -> None:
    """No class of the set may be lost through images that cannot be read: they may be all of it."""
    before, after = (
        set(part.columns("label")["label"].unique().to_pylist()) for part in (faces, FaceSet.open(out))
    )
    if lost := sorted(str(label) for label in before - after):
        raise DataError(f"{out}: no image of the class {', '.join(lost)} can be read", hint="mend the set")


def _check_out(out: Path, meta: dict[str, Any]) -> None:
    """`out` may hold nothing but shards of this conversion; half-written ones are swept away."""
    if not out.exists():
        return
    if not out.is_dir():
        raise DataError(f"{out} is a file", hint="give a new folder")
    expected = {shard_name(index, meta["shards"]) for index in range(meta["shards"])}
    for file in out.iterdir():
        if file.name.startswith(".faces-") and file.name.endswith(".part"):
            file.unlink(missing_ok=True)
        elif file.name not in expected:
            raise DataError(
                f"{out} holds {file.name}, which is not of this conversion", hint="give a new folder"
            )
    for file in parquet_files(out):
        if different := differences(shard_metadata(file), meta):
            raise DataError(
                f"{file} was made of other content ({', '.join(different)} differs)", hint="give a new folder"
            )
