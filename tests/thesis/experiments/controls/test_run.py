"""The part `controls` of a reproduction: a grid of networks, each beside one that differs from it in one thing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conftest import write_set
from tests.thesis.test_reproduce import plan, run_though_killed, tables
from verovolto.core import workdir
from verovolto.core.errors import Diverged, InputError
from verovolto.detectors.base import load_detector
from verovolto.detectors.vae.fit import architecture
from verovolto.networks.registry import build
from verovolto.thesis.experiments import controls
from verovolto.thesis.experiments.controls import COMPARISONS, GRID, Comparison
from verovolto.thesis.experiments.controls.networks import Condition, config_of
from verovolto.thesis.pipeline import run_reproduction
from verovolto.thesis.plan import Plan
from verovolto.training import fit as run_module
from verovolto.training.fit import resolved

SMALL = {
    "base": Condition(model="oc-fakedect1", latent=4),
    "twin": Condition(model="oc-fakedect1", latent=4),
    "second seed": Condition(model="oc-fakedect1", latent=4, seed=1),
    "beta 0": Condition(model="oc-fakedect1", latent=4, beta=0.0),
}
PAIRS = (
    Comparison(group="seed", name="second seed", partner="base", differs="the seed and nothing else"),
    Comparison(group="symmetry", name="twin", partner="base", differs="nothing"),
    Comparison(group="beta", name="beta 0", partner="base", differs="beta 0 for 1"),
)


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("controlled"), train=24, people=10)


@pytest.fixture(scope="module")
def small(undrawn: None) -> Iterator[None]:
    """A grid of tiny networks, and none of the thesis's figures."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(controls, "GRID", SMALL)
        patch.setattr(controls, "COMPARISONS", PAIRS)
        yield


def asked(faces: Path, out: Path, **changes: Any) -> Plan:
    settings: dict[str, Any] = {
        "protocols": ("honest",), "parts": ("controls",), "epochs": 1, "control_size": 32, "control_epochs": 1,
    }  # fmt: skip
    return plan(faces, out, **{**settings, **changes})


@pytest.fixture(scope="module")
def done(faces: Path, small: None, tmp_path_factory: pytest.TempPathFactory) -> Plan:
    whole = asked(faces, tmp_path_factory.mktemp("whole"))
    run_reproduction(whole)
    return whole


def found(out: Path) -> dict[str, Any]:
    return dict(tables(out)["parts"]["controls"])


def test_every_network_and_every_difference_is_there(done: Plan) -> None:
    told = found(done.out)
    rows = {row["name"]: row for row in told["rows"]}
    assert list(rows) == list(SMALL) and told["size"] == 32 and told["epochs"] == 1
    assert set(told["trivial"]) == {"bytes", "sharpness", "brightness"}
    for row in rows.values():
        assert row["dimensions"] == 4 and 0 <= row["active"] <= 4 and row["epoch"] == 1
        assert row["parameters"] > 1000 and row["rmse"] > 0
    for one in told["comparisons"]:
        both = [rows[one[side]]["auroc"]["value"] for side in ("name", "partner")]
        assert one["auroc"]["value"] == pytest.approx(both[0] - both[1])
    assert {path.name for path in (done.out / "runs").iterdir()} == {
        "honest-oc-fakedect1", *(f"honest-control-{name.replace(' ', '-')}" for name in SMALL)
    }  # fmt: skip


def test_the_same_network_again_differs_in_nothing(done: Plan) -> None:
    by_name = {one["name"]: one for one in found(done.out)["comparisons"]}
    for metric in controls.METRICS:
        assert by_name["twin"][metric]["value"] == 0
        assert by_name["twin"][metric]["verdict"] == "no difference shown"
        assert not by_name["twin"][metric]["credited"]
    assert by_name["second seed"]["error_real"]["value"] != 0
    assert "credited" not in by_name["second seed"]["auroc"]


def test_settings_reach_the_training(done: Plan) -> None:
    first, other = (
        load_detector(done.out / "runs" / f"honest-control-{name}") for name in ("beta-0", "second-seed")
    )
    assert (first.beta, other.beta) == (0.0, 1.0)
    assert (first.metadata["seed"], other.metadata["seed"]) == (done.seed, done.seed + 1)
    assert first.architecture.size == 32 and first.architecture.latent == 4
    assert not list(done.out.glob("runs/*control*/**/*.ckpt"))


def test_the_page_shows_them_and_says_what_may_be_exceeds_seed_variance(done: Plan) -> None:
    html = (done.out / "report.html").read_text()
    for words in (
        controls.TITLE, "twin minus base", "the seed and nothing else", "as it should be", "sharpness",
        "differ in their seed alone", "oc-fakedect1, beta 0", "clusters",
    ):  # fmt: skip
        assert words in html
    drawn = {path.name for path in (done.out / "figures").iterdir()}
    assert {"controls-auroc.png", "controls-error.png"} <= drawn


def test_asked_for_twice_nothing_is_done_again(
    done: Plan, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (done.out / "tables.json").read_bytes()
    monkeypatch.setattr(workdir, "finish", lambda *_: pytest.fail("a step was done again"))
    run_reproduction(done)
    assert (done.out / "tables.json").read_bytes() == before
    assert "…" not in capsys.readouterr().out


def test_killed_at_every_step_it_ends_with_the_same_tables(
    faces: Path, done: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = asked(faces, tmp_path / "out")
    kills = run_though_killed(broken, monkeypatch, lambda step: "control" in step)
    assert len(kills) == len(SMALL) + 1
    assert found(broken.out) == found(done.out)


def test_other_resamples_train_nothing_again(
    faces: Path, done: Plan, capsys: pytest.CaptureFixture[str]
) -> None:
    run_reproduction(asked(faces, done.out, resamples=25))
    again = [line for line in capsys.readouterr().out.splitlines() if "control" in line and "…" in line]
    assert again == ["controls-honest …"]


def test_a_network_that_diverges_is_told_and_the_others_are_judged(
    faces: Path, small: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = run_module.run

    def diverging(config: Any, **leave: Any) -> Path:
        if config.method.beta == 0:
            raise Diverged("the loss is nan")
        return real(config, **leave)

    monkeypatch.setattr(run_module, "run", diverging)
    whole = asked(faces, tmp_path)
    run_reproduction(whole)
    told = found(whole.out)
    [lost] = told["diverged"]
    assert told["diverged"][lost] == "the loss is nan" and lost not in {row["name"] for row in told["rows"]}
    assert all(lost not in (one["name"], one["partner"]) for one in told["comparisons"])
    assert f"<b>{lost}</b> diverged" in (whole.out / "report.html").read_text()


def test_under_the_thesis_alone_it_says_that_people_are_shared(
    faces: Path, small: None, tmp_path: Path
) -> None:
    run_reproduction(asked(faces, tmp_path, protocols=("thesis",)))
    told = found(tmp_path)
    assert told["protocol"] == "thesis" and told["leaky"] is True
    assert json.loads((tmp_path / "runs" / "thesis-control-base" / "run.json").read_text())["leaky"] is True
    assert "share people with the test" in " ".join(controls.findings(told))
    assert "the sound splits were not asked for" in (tmp_path / "report.html").read_text()


def test_what_cannot_be_is_refused_before_anything_is_trained(faces: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--control-size: size 40"):
        asked(faces, tmp_path, control_size=40)
    with pytest.raises(InputError, match="--control-epochs 0"):
        asked(faces, tmp_path, control_epochs=0)
    assert asked(faces, tmp_path, parts=(), control_size=40).control_size == 40


def test_each_pair_of_the_grid_differs_in_one_thing(faces: Path, tmp_path: Path) -> None:
    for one in COMPARISONS:
        first, second = asdict(GRID[one.name]), asdict(GRID[one.partner])
        assert sum(first[key] != second[key] for key in first) == 1, one
    assert {one.group for one in COMPARISONS} == set(controls.GROUPS)
    assert {name for one in COMPARISONS for name in (one.name, one.partner)} == set(GRID)


@pytest.fixture
def whole_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    """The grid as it is, after tests with a smaller one."""
    monkeypatch.setattr(controls, "GRID", GRID)
    monkeypatch.setattr(controls, "COMPARISONS", COMPARISONS)


def test_all_of_the_grid_can_be_built_and_is_trained_alike(
    faces: Path, whole_grid: None, tmp_path: Path
) -> None:
    whole = asked(faces, tmp_path)
    configs = [resolved(config_of(whole, "honest", name, one, faces)) for name, one in GRID.items()]
    for config in configs:
        with torch.device("meta"):
            assert build(architecture(config)).size == 32
    shared = ("lr", "batch_size", "flips", "epochs", "noise", "reduction", "kl_warmup", "precision", "size")
    assert len({tuple(getattr(config.method, name) for name in shared) for config in configs}) == 1
    assert len({config.out for config in configs}) == len(GRID)


@pytest.mark.slow
def test_networks_of_the_grid_itself_run(
    faces: Path, undrawn: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    some = ("base", "small decoder, flat", "pretrained", "not pretrained", "spatial")
    pairs = tuple(one for one in COMPARISONS if {one.name, one.partner} <= set(some))
    monkeypatch.setattr(controls, "GRID", {name: GRID[name] for name in some})
    monkeypatch.setattr(controls, "COMPARISONS", pairs)
    run_reproduction(asked(faces, tmp_path))
    told = found(tmp_path)
    assert [row["name"] for row in told["rows"]] == list(some) and len(told["comparisons"]) == 3
    weights = [load_detector(tmp_path / "runs" / f"honest-control-{one}").metadata["weights"]
               for one in ("pretrained", "not-pretrained")]  # fmt: skip
    assert weights == ["imagenet", "none"]
    said = " ".join(controls.findings(told))
    assert "Symmetric minus asymmetric" in said and "Pretrained minus scratch" in said
