"""An experiment is one folder: what is needed lies in it, and nothing outside knows its inside."""

from __future__ import annotations

from pathlib import Path

import pytest

import verovolto
from verovolto.thesis.experiments import load
from verovolto.thesis.plan import PARTS

SOURCE = Path(verovolto.__file__).parent
EXPERIMENTS = SOURCE / "thesis" / "experiments"


def test_every_folder_is_a_part_and_every_part_a_folder() -> None:
    assert set(PARTS) == {path.parent.name for path in EXPERIMENTS.glob("*/__init__.py")}


@pytest.mark.parametrize("name", PARTS)
def test_a_folder_holds_what_is_done_and_how_it_is_shown(name: str) -> None:
    experiment = load(name)
    assert callable(experiment.run) and experiment.TITLE
    assert callable(experiment.figures) and callable(experiment.findings)
    assert (EXPERIMENTS / name / "page.html.j2").is_file()


@pytest.mark.parametrize("name", PARTS)
def test_nothing_outside_the_folder_imports_from_it(name: str) -> None:
    outside = [path for path in SOURCE.rglob("*.py") if not path.is_relative_to(EXPERIMENTS / name)]
    assert not [path for path in outside if f"experiments.{name}" in path.read_text(encoding="utf-8")]
