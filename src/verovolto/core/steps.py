"""Steps that are done once: each leaves its result in a folder, and is passed over when it is there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from verovolto import __version__
from verovolto.core.files import read_json_object, write_json

RESULT = "result.json"


@dataclass(frozen=True, kw_only=True)
class Done:
    """A finished step: its folder, what it found, and the key of what it was made of."""

    name: str
    folder: Path
    key: str
    result: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Steps:
    """The steps of a reproduction, a folder each below `folder`."""

    folder: Path

    def take(
        self,
        name: str,
        work: Callable[[Path], dict[str, Any]],
        *,
        inputs: Mapping[str, Any],
        after: tuple[Done, ...] = (),
    ) -> Done:
        """Do `work` in the step's folder, unless a result of the same inputs is there.

        `inputs` are the settings that the step depends on (JSON), `after` the steps whose results it reads: when one of
        them changes, so does the key. `work` returns what `result.json` keeps; that file is written last, so a step
        that was killed is done again.
        """
        place = self.folder / name
        made_of = {
            "version": __version__,
            "settings": dict(inputs),
            "after": {done.name: done.key for done in after},
        }
        key = hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()
        before = read_json_object(place / RESULT) if (place / RESULT).is_file() else {}
        if before.get("key") == key:
            return Done(name=name, folder=place, key=key, result=before["result"])
        print(f"{name} …", flush=True)
        place.mkdir(parents=True, exist_ok=True)
        result = work(place)
        finish(place / RESULT, {"step": name, "key": key, "made_of": made_of, "result": result})
        return Done(name=name, folder=place, key=key, result=result)


def finish(path: Path, value: dict[str, Any]) -> None:
    """Write the result of a step: from now on it is done."""
    write_json(path, value)
