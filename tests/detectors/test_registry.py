"""The registry: a new method is one file, and nothing that needs a list of methods has one of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

import verovolto
from tests.conftest import write_set
from tests.detectors.toy import ToyDetector
from tests.faces.bright import RULE, BrightSquares
from tests.scanning.drawn import film, walk
from verovolto import Detector, FaceSet
from verovolto.core.errors import InputError
from verovolto.detectors.registry import configs, markdown_table, methods
from verovolto.detectors.score_faces import score_faces
from verovolto.detectors.vae import VAEConfig
from verovolto.networks import ModelName
from verovolto.networks.registry import NETWORKS, has_bottlenecks, has_second_encoder
from verovolto.scanning import run as scanning

INDEX = Path(__file__).parents[2] / "docs" / "detectors" / "index.md"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("small"), train=12, people=12)


class TestANewMethod:
    def test_it_is_trained_saved_loaded_and_evaluated(self, small: Path, tmp_path: Path) -> None:
        detector = verovolto.fit("toy", small, tmp_path / "run", power=2.0, seed=3)
        assert isinstance(detector, ToyDetector) and detector.power == 2.0
        assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [
            "config.toml", "detector", "run.json",
        ]  # fmt: skip
        again = Detector.load(tmp_path / "run")
        test = FaceSet.open(small).select(split="test")
        values = score_faces(again, test, quiet=True).values("colour")
        np.testing.assert_array_equal(values, score_faces(detector, test, quiet=True).values("colour"))
        assert again.score([test.image(0)]).p_value is not None
        assert again.summary_lines()[0].startswith(
            "trained on 12 real faces; their mean colour kept, thresholds"
        )

    def test_it_scans(self, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(scanning, "open_detector", lambda name: BrightSquares())
        detector = verovolto.fit("toy", small, tmp_path / "run")
        (tmp_path / "rule.json").write_text(json.dumps(RULE.to_dict()))
        clip = film(tmp_path / "clip.mp4", walk(6, level=250))
        scan = verovolto.scan(
            clip, detector=detector, fps=None, false_alarm=0.1, crop=str(tmp_path / "rule.json")
        )
        assert scan.to_dict()["detector"]["name"] == "toy" and len(scan.to_dict()["media"]) == 1

    def test_the_commands_know_it(self, small: Path, tmp_path: Path) -> None:
        run = str(tmp_path / "run")
        train = f"train --data {small} --model toy --out {run} --toy.power 2"
        evaluate = f"evaluate {run} --data {small} --out {tmp_path / 'test'} --false-alarm 0.2 --resamples 20"
        code = (
            "import sys; import tests.detectors.toy; from verovolto import cli\n"
            f"for words in {[train, evaluate, 'models', 'train --help']!r}:\n"
            "    sys.argv = ['verovolto', *words.split()]\n"
            "    cli.app.config = ()\n"
            "    try:\n        cli.main()\n"
            "    except SystemExit as end:\n        assert not end.code, words\n"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "their mean colour kept" in done.stdout and "a test" in done.stdout
        assert "--toy.power" in done.stdout and (tmp_path / "test/report.html").is_file()

    def test_its_options_are_checked(self, small: Path, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"--power 0\.5 is below 1"):
            verovolto.fit("toy", small, tmp_path, power=0.5)
        with pytest.raises(InputError, match=r"toy makes nothing of the option channels \(it is for padim\)"):
            verovolto.fit("toy", small, tmp_path, channels=3)
        with pytest.raises(InputError, match=r"no option powr.*power"):
            verovolto.fit("toy", small, tmp_path, powr=3)


def test_every_model_is_registered_and_described() -> None:
    everything = methods()
    assert set(configs()) <= set(everything) and {"fusion", "trivial"} <= set(everything)
    for name in configs():
        assert everything[name].config is configs()[name] and everything[name].source
        assert everything[name].detector.describe(name), name


def test_options_of_some_networks_agree_with_the_networks() -> None:
    assert set(get_args(ModelName)) == set(NETWORKS)
    for name, known in NETWORKS.items():
        assert VAEConfig.uses("bottleneck", name) == has_bottlenecks(name)
        assert VAEConfig.uses("second_encoder", name) == has_second_encoder(name)
        assert VAEConfig.uses("weights", name) == known.pretrained


def test_the_documents_have_the_models_of_the_registry() -> None:
    """`tools/models_table.py` writes the table."""
    rows = [row for row in markdown_table().splitlines() if "`toy`" not in row]
    assert "\n".join(rows) in INDEX.read_text(encoding="utf-8")


def test_the_default_detector_imports_no_other_method_and_no_training() -> None:
    code = (
        "import sys; from verovolto import Detector; Detector.default()\n"
        "found = {m.split('.')[2] for m in sys.modules if m.startswith('verovolto.detectors.') and m.count('.') > 2}\n"
        "assert found == {'region_discriminant'}, found\n"
        "others = [m for m in sys.modules if m.startswith(('verovolto.experimental.', 'verovolto.training',"
        " 'verovolto.synthesis', 'pytorch_lightning'))]\n"
        "assert not others, others"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
