"""Several face sets as one: their rows one set after the other, each row with the name of its collection."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from verovolto.core.errors import DataError
from verovolto.data.schema import COLUMNS, check_names
from verovolto.data.storage import Rows

if TYPE_CHECKING:
    from verovolto.data.faceset import FaceSet


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
