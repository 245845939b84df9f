"""`FaceSet`: face crops with their metadata, in whatever form they are stored; `data.schema` describes the columns.

Several sets open as one: the rows of one set after those of the other, each with the name of its collection.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from torch import Tensor

from verovolto.core.errors import DataError, UnreadableImage
from verovolto.data.crop_rule import Look, look_at
from verovolto.data.decode import decode_image
from verovolto.data.schema import COLUMNS, check_names
from verovolto.data.storage import LookSource, Rows, Source, SplitSource, read_split_file
from verovolto.data.storage.folder import open_folder, open_manifest
from verovolto.data.storage.parquet import open_parquet, parquet_files
from verovolto.data.tables import MANIFESTS, find_manifest

_HASHED = [name for name in COLUMNS if name not in ("box", "image_bytes")]
_HASH_ROWS = 1 << 16


class FaceSet:
    """A view on rows of a set: rows can be selected and re-ordered, images are read one by one, when asked for.

    It pickles (files are opened again in the other process), so that loader workers can hold it. Reading is safe
    from several threads. Nothing is copied.

    >>> from tempfile import mkdtemp
    >>> from PIL import Image
    >>> folder = Path(mkdtemp())
    >>> for name in ("real/anna/1.png", "real/anna/2.png", "fake/Deepfakes/anna/1.png"):
    ...     (folder / name).parent.mkdir(parents=True, exist_ok=True)
    ...     Image.new("RGB", (48, 40)).save(folder / name)
    >>> faces = FaceSet.open(folder)
    >>> len(faces), faces.image(0).shape, faces.columns("label", "method", "source_video").slice(0, 1).to_pylist()
    (3, torch.Size([3, 40, 48]), [{'label': 'fake', 'method': 'Deepfakes', 'source_video': 'anna'}])
    >>> faces.select(label="real").columns("face", "frame").to_pylist()
    [{'face': 'real/anna/1.png', 'frame': 1}, {'face': 'real/anna/2.png', 'frame': 2}]
    """

    def __init__(self, source: Source, rows: Rows | None = None) -> None:
        self._source = source
        self._rows = rows

    @staticmethod
    def open(path: str | Path) -> FaceSet:
        """Open a set of any form.

        That is a folder `real/`, `fake/` or a folder a method; a folder with `manifest.csv` or `metadata.csv`; a
        Parquet file or a folder of shards; or a split file, which stands for one of these with its splits replaced.

        Raises `DataError` where there is none, or where it cannot be read as one: no images, wrong columns, unknown
        labels, missing files, a newer schema, an unfinished conversion.
        """
        return FaceSet(_open_source(Path(path)))

    @staticmethod
    def join(sets: Sequence[FaceSet]) -> FaceSet:
        """Several sets as one, their rows one set after the other; `dataset` is the set's name where it is unknown.

        Raises `DataError` for none, and for sets whose crops were cut by different rules.
        """
        return FaceSet(JoinedSource(sets))

    def with_splits(self, split: pa.Array) -> FaceSet:
        """The same rows in other splits: `split` `[n]`, strings, null for none."""
        return FaceSet(SplitSource(JoinedSource([self]), split, path=self.path))

    def seen_by(self, crop_rule: dict[str, Any] | None) -> FaceSet:
        """The same faces as a detector of that crop rule sees them: cut out of the set's wider crops when decoded.

        The set itself where one of the two rules is unknown, or they are one.

        Raises:
            InputError: the set's crops do not show what the rule asks for.
        """
        if look_at(self.crop_rule, crop_rule) is None:
            return self
        assert crop_rule is not None
        base = self._source.base if isinstance(self._source, LookSource) else self._source
        return FaceSet(LookSource(base, crop_rule), self._rows)

    @property
    def name(self) -> str:
        """Name of the set: as its files say, else its folder's."""
        return self._source.name

    @property
    def path(self) -> Path:
        """Where the set was opened from."""
        return self._source.path

    @property
    def crop_rule(self) -> dict[str, Any] | None:
        """The rule by which the crops were cut, None where it is not recorded."""
        return self._source.crop_rule

    @property
    def left_out(self) -> tuple[str, ...]:
        """What lies in the set's folder and is not in the set, with number and reason, a line each."""
        return self._source.left_out

    @property
    def column_names(self) -> list[str]:
        """Names of all metadata columns: the schema's, then extras."""
        return self._source.names()

    def __len__(self) -> int:
        return len(self._source) if self._rows is None else len(self._rows)

    def __repr__(self) -> str:
        return f"FaceSet({self.name!r}, {len(self)} faces)"

    def columns(self, *names: str) -> pa.Table:
        """Metadata of this view's rows, in view order; only the named columns are read, all if none is named.

        Columns of the schema that the set does not have are null. Raises `DataError` for other names.
        """
        names = names or tuple(self._source.names())
        if self._rows is None or not len(self._rows):
            return self._source.table(names, 0, 0 if self._rows is not None else len(self._source))
        first, last = int(self._rows.min()), int(self._rows.max())
        table = self._source.table(names, first, last + 1)
        if len(table) == len(self._rows) and (np.diff(self._rows) == 1).all():
            return table
        return table.take(self._rows - first)

    def encoded(self, i: int) -> bytes:
        """Encoded image of row `i` (JPEG, PNG, ...). Raises `UnreadableImage` if its file cannot be read."""
        return self._source.encoded(self._row(i))

    def image(self, i: int) -> Tensor:
        """Image of row `i`, uint8 `[3, H, W]`, RGB. Raises `UnreadableImage`, which names the face."""
        encoded = self.encoded(i)
        try:
            return self.decode(i, encoded)
        except UnreadableImage as error:
            # The name is looked up only now: in a Parquet set it has to be read.
            reason = error.message.removeprefix("image: ")
            raise UnreadableImage(f"{self.face(i)}: {reason}") from error

    def decode(self, i: int, encoded: bytes) -> Tensor:
        """The face of row `i` out of its encoded image; raises `UnreadableImage`, which calls it `image`."""
        image = decode_image(encoded, name="image")
        look = self.look(i)
        return image if look is None else look.cut(image)

    def look(self, i: int) -> Look | None:
        """What of the image of row `i` is the face; None for all of it (see `seen_by`)."""
        return self._source.look(self._row(i))

    def face(self, i: int) -> str:
        """The id of row `i`."""
        row = self._row(i)
        return str(self._source.table(["face"], row, row + 1)["face"][0].as_py())

    def select(
        self, *, split: str | None = None, label: str | None = None, method: str | None = None
    ) -> FaceSet:
        """The rows of a split, a label, a method; raises `DataError`, which lists what is there, for none."""
        wanted = {"split": split, "label": label, "method": method}
        given = {name: value for name, value in wanted.items() if value is not None}
        if not given:
            return self
        table = self.columns(*given)
        mask = np.ones(len(self), dtype=bool)
        for name, value in given.items():
            mask &= pc.fill_null(pc.equal(table[name], value), False).to_numpy()
        if not mask.any():
            if split is not None and table["split"].null_count == len(table):
                raise DataError(
                    f"{self.path} has no splits, so no split {split}",
                    hint=f"make some: verovolto data split {self.path} NAME.parquet, then give NAME.parquet as --data",
                )
            asked = ", ".join(f"{name} {value}" for name, value in given.items())
            raise DataError(f"{self.path} has no faces of {asked}", hint="there are: " + _what_is_there(self))
        return self.take(np.flatnonzero(mask))

    def take(self, rows: Sequence[int] | npt.NDArray[Any]) -> FaceSet:
        """The rows at these positions, in this order, repeats allowed; raises `IndexError` for one outside the view."""
        positions = np.asarray(rows, dtype=np.int64)
        if positions.size and (positions.min() < 0 or positions.max() >= len(self)):
            raise IndexError(f"positions {positions.min()}..{positions.max()} of a view of {len(self)} faces")
        return FaceSet(self._source, positions if self._rows is None else self._rows[positions])

    @property
    def blocks(self) -> npt.NDArray[np.int64]:
        """Row group of each row, int64 `[n]` (of a folder: runs of 64 files): see `epoch_order`."""
        return self._source.blocks(self._all_rows())

    def sizes(self) -> npt.NDArray[np.int64]:
        """Bytes of each encoded image, int64 `[n]`; -1 for a file that is not there.

        Of Parquet files without the column `image_bytes` (written by others) each row's part of the bytes of its row
        group, so that sums are right but single rows are not.
        """
        return self._source.sizes(self._all_rows())

    def fingerprint(self) -> str:
        """SHA-256 (64 hexadecimal digits) of the rows of the view, in their order.

        Covers the crop rule and, of each row, all columns of the schema and the size of its image in bytes (of
        Parquet files that others wrote, of its row group), not the pixels: an image replaced by another of equal size
        is not noticed, so that millions of images need not be read. Neither the place nor the name of the set nor its
        extra columns matter; a folder and the Parquet set that `convert` makes of it have one fingerprint if every
        image could be read.
        """
        digest = hashlib.sha256(repr(sorted((self.crop_rule or {}).items())).encode())
        table = self.columns(*_HASHED, "box")
        sizes = self.sizes()
        for start in range(0, len(self), _HASH_ROWS):
            part = table.slice(start, _HASH_ROWS)
            texts = [part[name].cast(pa.string()) for name in _HASHED]
            joined = pc.binary_join_element_wise(
                *texts, "\x1f", null_handling="replace", null_replacement="\x00"
            )
            digest.update("\x1e".join(joined.to_pylist()).encode())
            if part["box"].null_count < len(part):
                digest.update(repr(part["box"].to_pylist()).encode())
            digest.update(sizes[start : start + _HASH_ROWS].astype("<i8").tobytes())
        return digest.hexdigest()

    def _row(self, i: int) -> int:
        if not 0 <= i < len(self):
            raise IndexError(f"row {i} of a view of {len(self)} faces")
        return int(i) if self._rows is None else int(self._rows[i])

    def _all_rows(self) -> Rows:
        return np.arange(len(self._source), dtype=np.int64) if self._rows is None else self._rows


def _open_source(path: Path) -> Source:
    if not path.exists():
        beside = sorted(p.name for p in path.parent.iterdir())[:8] if path.parent.is_dir() else []
        raise DataError(f"{path} does not exist", hint=f"beside it: {', '.join(beside) or 'nothing'}")
    if path.is_dir():
        if parquet_files(path):
            return open_parquet(path)
        manifest = find_manifest(path)
        return open_manifest(manifest) if manifest else open_folder(path)
    if path.name in MANIFESTS:
        return open_manifest(path)
    if path.suffix != ".parquet":
        raise DataError(f"{path} is no face set", hint="give a folder of images or a Parquet file")
    split = read_split_file(path)
    return open_parquet(path) if split is None else _split_source(path, *split)


def _split_source(path: Path, target: Path, table: pa.Table) -> SplitSource:
    base = _open_source(target)
    if not base.table(["face"], 0, len(base))["face"].equals(table["face"]):
        raise DataError(f"{path}: the set {target} has changed since it was split", hint="split it again")
    return SplitSource(base, table["split"], path=path)


def _what_is_there(faces: FaceSet) -> str:
    table = faces.columns("split", "label", "method")
    groups = table.group_by(["split", "label", "method"]).aggregate([([], "count_all")]).to_pylist()
    lines = [
        f"{g['count_all']} {g['split'] or 'without split'}/{g['label']}"
        + (f"/{g['method']}" if g["method"] else "")
        for g in sorted(groups, key=lambda g: (str(g["split"]), str(g["label"]), str(g["method"])))
    ]
    return ", ".join(lines[:12]) + (f" and {len(lines) - 12} more" if len(lines) > 12 else "")


class JoinedSource:
    """The rows of several views. Where a set does not say which collection a row is of, it is the set's own name.

    Args:
        sets: two or more, whose crops were cut by one rule.

    Raises:
        DataError: no sets, crops of different rules, or one name for two sets without collections.
    """

    def __init__(self, sets: Sequence[FaceSet]) -> None:
        if not sets:
            raise DataError("no face set to join")
        self.sets = tuple(sets)
        self.path = sets[0].path
        self.name = " + ".join(dict.fromkeys(each.name for each in sets))
        self.crop_rule = _one_rule(sets)
        self.left_out = tuple(line for each in sets for line in each.left_out)
        self._starts = np.concatenate([[0], np.cumsum([len(each) for each in sets])])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def names(self) -> list[str]:
        """The columns of the schema: extras differ from set to set."""
        return list(COLUMNS)

    def table(self, names: Sequence[str], start: int, stop: int) -> pa.Table:
        """See `Source.table`."""
        check_names(names, COLUMNS, where=self.name)
        parts = [
            _named(self.sets[0].columns(*names).slice(0, 0), self.sets[0].name)
        ]  # the types, of no rows, too
        for each, first in zip(self.sets, self._starts, strict=False):
            low, high = max(start - first, 0), min(stop - first, len(each))
            if low < high:
                parts.append(_named(each.columns(*names).slice(low, high - low), each.name))
        return pa.concat_tables(parts)

    def encoded(self, row: int) -> bytes:
        """See `Source.encoded`."""
        each, of_set = self._where(row)
        return self.sets[each].encoded(of_set)

    def look(self, row: int) -> Look | None:
        """See `Source.look`."""
        each, of_set = self._where(row)
        return self.sets[each].look(of_set)

    def blocks(self, rows: Rows) -> Rows:
        """See `Source.blocks`."""
        numbers, above = [], 0
        for each in self.sets:
            numbers.append(each.blocks + above)
            above = int(numbers[-1].max(initial=above)) + 1
        return np.concatenate(numbers)[rows]

    def sizes(self, rows: Rows) -> Rows:
        """See `Source.sizes`."""
        return np.concatenate([each.sizes() for each in self.sets])[rows]

    def _where(self, row: int) -> tuple[int, int]:
        each = int(np.searchsorted(self._starts, row, side="right")) - 1
        return each, row - int(self._starts[each])


def _named(table: pa.Table, name: str) -> pa.Table:
    at = table.schema.get_field_index("dataset")
    return table if at < 0 else table.set_column(at, "dataset", pc.fill_null(table["dataset"], name))


def _one_rule(sets: Iterable[FaceSet]) -> dict[str, object] | None:
    """The rule of all sets that say one."""
    rules = {str(each.crop_rule): each for each in sets if each.crop_rule is not None}
    if len(rules) > 1:
        (rule, one), (other, two) = list(rules.items())[:2]
        raise DataError(
            f"the faces of {one.path} and {two.path} were cut by different rules: {rule}, {other}",
            hint="cut all by one rule: verovolto prepare --crop",
        )
    return next(iter(rules.values())).crop_rule if rules else None
