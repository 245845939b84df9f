"""Who is whose: clusters for intervals, halves for calibration, and splits that share nobody.

An identity is named within its `dataset`, and so is a source video; a `pair` ties a fake to its real crop.
All functions take a table of metadata (`FaceSet.columns`); columns that it lacks count as unknown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from verovolto.core.errors import InputError, SplitError

Ints = npt.NDArray[np.int64]
SPLIT_COLUMNS = (
    "face",
    "label",
    "split",
    "dataset",
    "source_video",
    "target_identity",
    "donor_identity",
    "pair",
)
"""The columns that the functions of this module read."""
_SEPARATOR = "\x1f"
# Prefixes of `cluster_ids` and what they stand for, coarsest first.
_KINDS = {"identity": "identity", "donor": "donor identity", "video": "source video", "face": "face"}


@dataclass(frozen=True, kw_only=True)
class Splits:
    """A split of a table: `split` [n] (strings, null where a row is in none) and what became of the rows."""

    split: pa.Array
    dropped_fakes: int
    """Fakes left out because their identities fell into different splits (or into none)."""
    left_out: int
    """Other rows in no split: beyond the fractions or counts asked for, or not in the official lists."""
    notes: Sequence[str] = field(default=())


def cluster_ids(table: pa.Table) -> npt.NDArray[np.str_]:
    """The coarsest group known of each row, `[n]` strings: what an interval resamples.

    It is the target identity (known of the row, or of another row of the same source video), else the donor
    identity, else the source video, else the face itself; each prefixed by its kind (`identity`, `donor`,
    `video`, `face`) and by its data set, so that no two kinds or sets are mixed up.
    """
    ids = _keys(table, "target_identity", "identity")
    coarsest_first = (_identity_by_video, _donors, _videos, _faces)
    for stand_in in coarsest_first:
        if ids.null_count:
            ids = pc.coalesce(ids, stand_in(table))
    ids = pc.replace_substring(ids, _SEPARATOR, ":")
    return np.asarray(ids.to_numpy(zero_copy_only=False), dtype=np.str_)


def _identity_by_video(table: pa.Table) -> Any:
    """The identity that is known of another row of the same source video, null where there is none."""
    video, identity = _videos(table), _keys(table, "target_identity", "identity")
    known = pc.and_(pc.is_valid(video), pc.is_valid(identity))
    if not pc.any(known).as_py():
        return pa.nulls(len(table), pa.string())
    where = pc.if_else(
        pc.is_valid(video), pc.index_in(video, video.filter(known)), pa.scalar(None, pa.int32())
    )
    return identity.filter(known).take(where)


def _donors(table: pa.Table) -> Any:
    return _keys(table, "donor_identity", "donor")


def _videos(table: pa.Table) -> Any:
    return _keys(table, "source_video", "video")


def _faces(table: pa.Table) -> Any:
    """The face, or where any has no name the number of its row."""
    face = _keys(table, "face", "face")
    return _row_names(f"face{_SEPARATOR}{_SEPARATOR}", len(table)) if face.null_count else face


def cluster_kinds(ids: npt.NDArray[np.str_]) -> dict[str, tuple[int, int]]:
    """How many clusters and rows of each kind `cluster_ids` gave, the coarsest kind first.

    `{"identity": (clusters, rows), "donor identity": ..., "source video": ..., "face": ...}`, without kinds that
    there are none of.
    """
    unique, of_row = numbered(ids)
    kinds: dict[str, tuple[int, int]] = {}
    for value, count in zip(unique, np.bincount(of_row, minlength=len(unique)), strict=True):
        kind = _KINDS[str(value).partition(":")[0]]
        clusters, rows = kinds.get(kind, (0, 0))
        kinds[kind] = (clusters + 1, rows + int(count))
    return {kind: kinds[kind] for kind in _KINDS.values() if kind in kinds}


def numbered(names: Sequence[str] | npt.NDArray[Any]) -> tuple[npt.NDArray[np.str_], Ints]:
    """The distinct names in sorted order, and the number of each name among them `[n]`: `np.unique`, by hashing.

    >>> numbered(["b", "a", "b"])
    (array(['a', 'b'], dtype='<U1'), array([1, 0, 1]))
    """
    array = pa.array(names, pa.string())  # of many names in chunks
    whole = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
    encoded = whole.dictionary_encode()
    distinct = np.asarray(encoded.dictionary.to_numpy(zero_copy_only=False), dtype=np.str_)
    in_order, number = np.unique(distinct, return_inverse=True)
    return in_order, np.asarray(number[np.asarray(encoded.indices)], dtype=np.int64)


def name_of_clusters(ids: npt.NDArray[np.str_]) -> str:
    """What the clusters `[n]`, n >= 1, are, in words: `identity`, or `identity (source video where unknown)`."""
    kind, *stand_ins = cluster_kinds(ids)
    return f"{kind} ({', '.join(stand_ins)} where unknown)" if stand_ins else kind


def video_keys(table: pa.Table) -> npt.NDArray[np.str_]:
    """The video of each row, `[n]` strings: where its source video is unknown, the face stands for itself.

    The key is (dataset, label, method, compression, source video), never a bare name. A
    fake's `source_video` may be the real video it was made of, so the label is part of the key.
    """
    video = _column(table, "source_video")
    parts = [pc.fill_null(_column(table, name), "") for name in ("dataset", "label", "method", "compression")]
    keys = pc.binary_join_element_wise("video", *parts, video, "/")
    face = pc.binary_join_element_wise("face", _column(table, "face"), "/")
    rows = _row_names("face/#", len(table)) if _column(table, "face").null_count else face
    return np.asarray(pc.coalesce(keys, face, rows).to_numpy(zero_copy_only=False), dtype=np.str_)


def pair_keys(table: pa.Table) -> npt.NDArray[Any]:
    """The pair of each row `[n]`, None where there is none: data set, compression, pair and frame."""
    dataset, compression, frame = (
        pc.fill_null(_column(table, name), "") for name in ("dataset", "compression", "frame")
    )
    keys = pc.binary_join_element_wise(dataset, compression, _column(table, "pair"), frame, _SEPARATOR)
    return np.asarray(keys.to_numpy(zero_copy_only=False), dtype=object)


def halve(table: pa.Table, *, seed: int) -> npt.NDArray[np.bool_]:
    """Cut a validation set in two, `[n]` bool: True for `choose`, False for `calibrate`.

    Rows that share an identity (as target or donor), a source video or a pair stay together. The groups
    come in an order drawn from `seed`, large ones first, and each joins the half that has fewer rows, so
    that the halves are about equal. Raises `SplitError` if there are fewer than two groups, or a half would
    have no real face.
    """
    random = _random(seed)
    groups = _components(table, donors=True, pairs=True)
    sizes = np.bincount(groups) if len(groups) else np.zeros(0, dtype=np.int64)
    if len(sizes) < 2:
        raise SplitError(
            f"{len(groups)} validation faces make {len(sizes)} group of shared identities or videos: "
            "they cannot be halved",
            hint="add faces of other people to the validation split, or cut a larger one: data split",
        )
    half_of_group = _fill(sizes, np.full(2, len(groups) / 2), random)
    choose = half_of_group[groups] == (int(random.random_raw()) & 1)
    real = pc.fill_null(pc.equal(_column(table, "label"), "real"), False).to_numpy(zero_copy_only=False)
    if real.any() and (not (real & choose).any() or not (real & ~choose).any()):
        raise SplitError(
            "all real validation faces share identities or videos: one half would have none",
            hint="add real faces of other people to the validation split, or cut a larger one: data split",
        )
    return np.asarray(choose, dtype=np.bool_)


def check_disjoint(table: pa.Table, *, leaky: bool = False) -> None:
    """Raise `SplitError`, naming the first offenders, if two splits share an identity or a source video.

    A person counts wherever they appear: as the target of one split and the donor of another, too. Rows
    without split are passed over. With `leaky` nothing is raised: to reproduce a published protocol that shares people,
    whose results must then be marked as such.
    """
    if leaky:
        return
    found = [
        text for kind, shared in shared_between_splits(table).items() if (text := _offenders(kind, shared))
    ]
    if found:
        raise SplitError(
            "splits share " + "; ".join(found), hint="make disjoint ones with: verovolto data split"
        )


def shared_between_splits(table: pa.Table) -> dict[str, list[tuple[str, list[str]]]]:
    """What two or more splits share: `{"identities": [(id, [split, ...]), ...], "source videos": [...]}`."""
    split = _column(table, "split")
    persons = pa.table(
        {
            "key": pa.concat_arrays(
                [_keys(table, name, "") for name in ("target_identity", "donor_identity")]
            ),
            "split": pa.concat_arrays([split, split]),
        }
    )
    videos = pa.table({"key": _keys(table, "source_video", ""), "split": split})
    return {"identities": _shared(persons), "source videos": _shared(videos)}


def make_splits(table: pa.Table, *, parts: Mapping[str, float], seed: int) -> Splits:
    """Cut a set into splits that share no identity and no source video.

    `parts` gives each split's size: fractions (summing to at most 1) or numbers of rows; since people stay
    whole, sizes are met as nearly as the groups allow. Rows of one target identity, source video or pair
    form a group, and so do the two people of a fake where that leaves groups small enough for every split
    (FaceForensics++ swaps within pairs; where everybody was swapped with everybody, all would be one group).
    Groups come in an order drawn from `seed`, large ones first, and each goes where most is wanting. A fake
    belongs to a split only if its donor does too (a donor nobody shows as target is given to the split that
    has most of their fakes); other fakes are dropped and counted.

    Raises `SplitError` if a split would stay empty, `InputError` for sizes that make no sense.
    """
    random = _random(seed)
    names, wanted = _sizes(parts, len(table))
    groups = _kept_together(table, wanted)
    rest = max(0.0, len(table) - float(wanted.sum()))
    bins = np.append(wanted, rest)
    of_row = _fill(np.bincount(groups), bins, random)[groups] if len(groups) else groups
    of_row = np.where(of_row == len(names), -1, of_row)
    dropped = _cross_split_fakes(table, of_row, len(names))
    of_row[dropped] = -1
    for index, name in enumerate(names):
        if wanted[index] > 0 and not (of_row == index).any():
            raise SplitError(
                f"split {name} would be empty: too few groups of people and videos",
                hint="ask for fewer or larger splits",
            )
    values = pa.array(names, pa.string()).take(pa.array(of_row, mask=of_row < 0))
    return Splits(
        split=values,
        dropped_fakes=len(dropped),
        left_out=int((of_row < 0).sum()) - len(dropped),
        notes=_what_was_unknown(table),
    )


def lost_classes(table: pa.Table, split: pa.Array) -> list[str]:
    """Labels of which the table has rows and none is in any split (`split` `[n]`, null for none)."""
    labels = _column(table, "label")
    kept = pc.unique(labels.filter(pc.is_valid(split))).to_pylist()
    return sorted(label for label in pc.unique(labels.drop_null()).to_pylist() if label not in kept)


def _kept_together(table: pa.Table, wanted: npt.NDArray[np.float64]) -> Ints:
    """Groups of rows `[n]` that go to one split: with the donors of their fakes, unless one then outgrows a split."""
    with_donors = _components(table, donors=True, pairs=True)
    smallest = wanted[wanted > 0].min()
    if len(with_donors) and np.bincount(with_donors).max() <= smallest:
        return with_donors
    return _components(table, donors=False, pairs=True)


def _cross_split_fakes(table: pa.Table, of_row: Ints, splits: int) -> Ints:
    """Rows whose donor belongs to another split than they do."""
    target = _keys(table, "target_identity", "")
    donor = _keys(table, "donor_identity", "")
    if donor.null_count == len(donor):
        return np.zeros(0, dtype=np.int64)
    people = pc.unique(pa.concat_arrays([target, donor]).drop_null())
    home = np.full(len(people), -2, dtype=np.int64)
    target_code, donor_code = _codes(target, people), _codes(donor, people)
    home[target_code[target_code >= 0]] = of_row[target_code >= 0]
    known = donor_code >= 0
    votes = np.zeros((len(people), splits), dtype=np.int64)
    placed = known & (of_row >= 0)
    np.add.at(votes, (donor_code[placed], of_row[placed]), 1)
    home = np.where(home == -2, votes.argmax(axis=1), home)
    cross = known & (of_row >= 0)
    cross[cross] = home[donor_code[cross]] != of_row[cross]
    return np.flatnonzero(cross)


def _what_was_unknown(table: pa.Table) -> list[str]:
    notes = []
    unknown = _column(table, "target_identity").null_count
    if unknown:
        notes.append(f"{unknown} rows of unknown identity are kept apart by source video or pair only")
    lost = pc.and_(pc.is_null(_column(table, "target_identity")), pc.is_null(_column(table, "source_video")))
    alone = int(pc.sum(lost).as_py() or 0)
    if alone:
        notes.append(
            f"{alone} rows of unknown identity and video: nothing says whether splits share their people"
        )
    return notes


def _sizes(parts: Mapping[str, float], total: int) -> tuple[list[str], npt.NDArray[np.float64]]:
    """Rows wanted for each split, out of fractions or counts."""
    names, values = list(parts), np.asarray(list(parts.values()), dtype=np.float64)
    text = ", ".join(f"{name} {value:g}" for name, value in parts.items())
    if not names or not np.isfinite(values).all() or (values < 0).any() or values.sum() == 0:
        raise InputError(f"split sizes {text} make no sense", hint="give fractions or numbers of rows")
    if (values <= 1).all():
        if values.sum() > 1 + 1e-9:
            raise InputError(f"fractions {text} sum to {values.sum():g}", hint="at most 1")
        return names, values * total
    if (values != np.round(values)).any():
        raise InputError(f"split sizes {text} mix fractions and counts", hint="give one or the other")
    if values.sum() > total:
        raise SplitError(f"split sizes {text} sum to {int(values.sum())}, the set has {total} rows")
    return names, values


def _fill(sizes: Ints, wanted: npt.NDArray[np.float64], random: np.random.Philox) -> Ints:
    """Put groups into bins, `[groups]` -> bin: large groups first, each where most is wanting.

    Large goes by powers of two only; within one, the order is random, so that chance decides who goes where.
    """
    order = np.argsort(random.random_raw(len(sizes)), kind="stable")
    power = np.floor(np.log2(np.maximum(sizes, 1)))
    order = order[np.argsort(-power[order], kind="stable")]
    missing = wanted.astype(np.float64).copy()
    bins = np.empty(len(sizes), dtype=np.int64)
    for group in order:
        bins[group] = best = int(missing.argmax())
        missing[best] -= sizes[group]
    return bins


def _components(table: pa.Table, *, donors: bool, pairs: bool) -> Ints:
    """Connected groups of rows, `[n]` numbered from 0: rows that share a key are in one group."""
    keys = [_keys(table, "target_identity", "identity"), _keys(table, "source_video", "video")]
    if donors:
        keys.append(_keys(table, "donor_identity", "identity"))
    if pairs:
        keys.append(_keys(table, "pair", "pair"))
    return _connect(len(table), keys)


def _connect(rows: int, keys: Sequence[Any]) -> Ints:
    """Union-find over the bipartite graph of rows and keys."""
    if rows == 0:
        return np.zeros(0, dtype=np.int64)
    values = pc.unique(pa.concat_arrays(list(keys)).drop_null())
    ends = [_codes(key, values) for key in keys]
    row = np.concatenate([np.flatnonzero(end >= 0) for end in ends])
    key = np.concatenate([end[end >= 0] for end in ends]) + rows
    size = rows + len(values)
    graph = coo_array((np.ones(len(row), dtype=np.int8), (row, key)), shape=(size, size))
    labels = connected_components(graph, directed=False)[1][:rows]
    return np.asarray(np.unique(labels, return_inverse=True)[1], dtype=np.int64)


def _codes(keys: Any, values: Any) -> Ints:
    """Index of each key in `values`, -1 for null."""
    found = pc.fill_null(pc.index_in(keys, values, skip_nulls=True), -1)
    return np.asarray(found.to_numpy(zero_copy_only=False), dtype=np.int64)


def _column(table: pa.Table, name: str) -> Any:
    """A column as one array of strings; all null if the table lacks it."""
    if name not in table.column_names:
        return pa.nulls(len(table), pa.string())
    column = table[name]
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return array.cast(pa.string())


def _keys(table: pa.Table, name: str, kind: str) -> Any:
    """`kind, dataset, value` as one string, null where the value is."""
    dataset = pc.fill_null(_column(table, "dataset"), "")
    return pc.binary_join_element_wise(kind, dataset, _column(table, name), _SEPARATOR)


def _row_names(prefix: str, rows: int) -> Any:
    """`prefix` and the number of the row, for each."""
    return pc.binary_join_element_wise(prefix, pa.array(np.arange(rows)).cast(pa.string()), "")


def _shared(table: pa.Table) -> list[tuple[str, list[str]]]:
    table = table.filter(pc.and_(pc.is_valid(table["key"]), pc.is_valid(table["split"])))
    pairs = table.group_by(["key", "split"]).aggregate([])
    counts = pairs.group_by("key").aggregate([("split", "count")])
    shared = counts.filter(pc.greater(counts["split_count"], 1))["key"]
    rows = pairs.filter(pc.is_in(pairs["key"], shared.combine_chunks())).to_pylist() if len(shared) else []
    found: dict[str, list[str]] = {}
    for row in rows:
        found.setdefault(row["key"].rpartition(_SEPARATOR)[2], []).append(row["split"])
    return sorted((key, sorted(splits)) for key, splits in found.items())


def _offenders(kind: str, shared: list[tuple[str, list[str]]]) -> str:
    if not shared:
        return ""
    first: Iterator[str] = (f"{key} ({', '.join(splits)})" for key, splits in shared[:3])
    return f"{len(shared)} {kind}: {', '.join(first)}" + (", ..." if len(shared) > 3 else "")


def _random(seed: int) -> np.random.Philox:
    """Raw random words, which NumPy keeps from version to version: a recorded seed cuts the same."""
    if seed < 0:
        raise InputError(f"seed {seed} is negative", hint="give 0 or more")
    return np.random.Philox(np.random.SeedSequence(seed))
