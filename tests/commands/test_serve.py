"""`verovolto serve`: what its flags become."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.detectors.conftest import make_detector
from verovolto.commands.serve import serve
from verovolto.core.errors import InputError
from verovolto.detectors.io import detector_folder
from verovolto.service.settings import ServiceSettings

pytest.importorskip("fastapi")


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[ServiceSettings]:
    found: list[ServiceSettings] = []
    monkeypatch.setattr("verovolto.service.app.create_app", lambda settings: found.append(settings))
    monkeypatch.setattr("uvicorn.run", lambda app, **options: None)
    return found


def test_detectors_are_given_by_folder_or_by_name(served: list[ServiceSettings], tmp_path: Path) -> None:
    make_detector().save(tmp_path / "ours")
    for given, expected in (
        (None, {"default": detector_folder()}),
        ([Path("lite0"), Path("default")], {name: detector_folder(name) for name in ("lite0", "default")}),
        ([tmp_path / "ours"], {"ours": tmp_path / "ours"}),
    ):
        options: dict[str, Any] = {} if given is None else {"detector": given}
        serve(folder=tmp_path / "service", **options)
        assert served.pop().detectors == expected


def test_two_detectors_of_one_name(served: list[ServiceSettings], tmp_path: Path) -> None:
    for place in ("a", "b"):
        make_detector().save(tmp_path / place / "ours")
    with pytest.raises(InputError, match="folders of one name"):
        serve(folder=tmp_path / "service", detector=[tmp_path / "a/ours", tmp_path / "b/ours"])
    assert not served
