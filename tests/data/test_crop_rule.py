"""Crop rules by name and by file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from verovolto.core.errors import InputError
from verovolto.data.crop_rule import CropRule, read_rule

RULE = CropRule(scale=1.1, dy=0.05)


def test_crop_rules_by_name_and_by_file(tmp_path: Path) -> None:
    assert read_rule("tight").scale == 0.86
    for value in (RULE.to_dict(), {"crop_rule": RULE.to_dict()}):
        (tmp_path / "rule.json").write_text(json.dumps(value))
        assert read_rule(str(tmp_path / "rule.json")) == RULE
    (tmp_path / "rule.json").write_text("[1]")
    with pytest.raises(InputError, match="not a JSON object"):
        read_rule(str(tmp_path / "rule.json"))
    with pytest.raises(InputError, match="neither a rule nor a file"):
        read_rule("ffp")
