"""The project's own files: locked versions within the stated ranges, one version number."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import verovolto

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="module")
def locked() -> dict[str, Requirement]:
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    requirements = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(requirement.name): requirement for requirement in requirements}


def test_every_requirement_is_locked_within_its_range(locked: dict[str, Requirement]) -> None:
    extras = PROJECT["optional-dependencies"]
    for line in (*PROJECT["dependencies"], *extras["demo"], *extras["dev"]):
        asked = Requirement(line)
        [exact] = locked[canonicalize_name(asked.name)].specifier
        assert exact.operator == "==" and asked.specifier.contains(exact.version), line


def test_the_lock_pins_exact_versions_and_nothing_local(locked: dict[str, Requirement]) -> None:
    assert "verovolto" not in locked
    for requirement in locked.values():
        assert [each.operator for each in requirement.specifier] == ["=="] and requirement.url is None


def test_cuda_libraries_are_for_the_platform_that_has_them(locked: dict[str, Requirement]) -> None:
    mac = {"sys_platform": "darwin", "platform_machine": "arm64"}
    wanted = {name for name, each in locked.items() if each.marker is None or each.marker.evaluate(mac)}
    assert "torch" in wanted
    assert not [name for name in wanted if name.startswith(("nvidia-", "cuda-", "triton"))]


def test_the_models_that_set_up_installs_are_the_extras() -> None:
    wanted = [PROJECT["optional-dependencies"][extra][0] for extra in ("centerface", "clip")]
    for file in ("tools/setup.sh", "README.md"):
        text = (ROOT / file).read_text(encoding="utf-8")
        lines = [
            line for line in text.splitlines() if "install" in line and "--no-deps" in line and "==" in line
        ]
        assert lines and all(each in line for line in lines for each in wanted), file


def test_one_version_number() -> None:
    cited = re.search(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE)
    dated = re.search(
        r"^## (\S+) \(\d{4}-\d{2}-\d{2}\)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert cited and dated
    assert PROJECT["version"] == verovolto.__version__ == cited[1] == dated[1]


def test_the_lowest_versions_that_are_tested_are_the_bounds() -> None:
    """The matrix installs them with `lowest-direct`: each direct requirement then has its lower bound."""
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    assert "uv pip install --system --resolution lowest-direct" in workflow
    extras = PROJECT["optional-dependencies"]
    for line in (*PROJECT["dependencies"], *extras["demo"], *extras["dev"]):
        assert any(each.operator in (">=", "==") for each in Requirement(line).specifier), line
