"""The end of a reproduction: `report.html`, `tables.json`, `tables.csv` and `figures/`."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from verovolto.thesis.deviations import told
from verovolto.thesis.plan import Plan, Protocol

if TYPE_CHECKING:
    from verovolto.core.workdir import Done

SCHEMA_VERSION = 1


def write_document(
    plan: Plan,
    splits: Done,
    judged: Mapping[tuple[Protocol, str], tuple[Done, Done, Done]],
    ablations: Sequence[Done],
    parts: Mapping[str, Mapping[str, Any]],
) -> Path:
    """Put the results of the steps together; returns the page. Every file appears whole."""
    from verovolto import __version__
    from verovolto.core.files import write_json, write_text
    from verovolto.thesis.metrics import PUBLISHED
    from verovolto.thesis.report.page import Arm, as_csv, build

    content: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "version": __version__,
        "data": splits.result,
        "settings": _settings(plan),
        "quirks": told(plan.quirks) if "thesis" in plan.protocols else [],
        "published": [one.to_dict() for one in PUBLISHED],
        "tables": [table.result for _, table, _ in judged.values()],
        "checkpoints": [chosen.result for chosen, _, _ in judged.values()],
        "latents": {
            f"{protocol}-{model}": drawn.result["latents"]
            for (protocol, model), (*_, drawn) in judged.items()
        },
        "ablations": [one.result for one in ablations],
        "parts": {name: dict(found) for name, found in parts.items()},
    }
    arms = [
        Arm(
            table=table.result,
            choice=chosen.result,
            figures={name: (drawn.folder / f"{name}.png").read_bytes() for name in drawn.result["figures"]},
            latents=drawn.result["latents"],
        )
        for chosen, table, drawn in judged.values()
    ]
    page = build(content, arms, command=command_of(plan), hide_faces=plan.no_faces)
    write_json(plan.out / "tables.json", content)
    write_text(plan.out / "tables.csv", as_csv(content))
    return page.write(plan.out)


def command_of(plan: Plan) -> str:
    """The exact command that makes this document again."""
    protocol = "both" if len(plan.protocols) > 1 else plan.protocols[0]
    words = [
        "verovolto",
        "reproduce",
        "--data",
        str(plan.data),
        "--out",
        str(plan.out),
        "--protocol",
        protocol,
    ]
    words += ["--models", ",".join(plan.models)]
    words += ["--parts", ",".join(plan.parts) or "none"]
    if "thesis" in plan.protocols:
        words += ["--quirks", ",".join(plan.quirks) or "none"]
    for field in fields(plan):
        value = getattr(plan, field.name)
        named = field.name in ("data", "out", "protocols", "models", "parts", "quirks")
        if named or value is None or value is False:
            continue
        words += [f"--{field.name.replace('_', '-')}", *([] if value is True else [str(value)])]
    return shlex.join(words)


def _settings(plan: Plan) -> dict[str, Any]:
    """The settings as JSON holds them; the places on this machine are in the command alone."""
    values = {
        field.name: getattr(plan, field.name) for field in fields(plan) if field.name not in ("data", "out")
    }
    if "thesis" not in plan.protocols:
        del values["quirks"]
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
