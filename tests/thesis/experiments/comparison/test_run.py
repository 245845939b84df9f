"""The part `comparison` of a reproduction: the numbers of `verovolto compare`, and nothing said that is not shown."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import write_set
from tests.thesis.test_reproduce import Killed, plan, tables
from verovolto.commands.compare import compare
from verovolto.core import workdir
from verovolto.thesis.experiments import comparison as page
from verovolto.thesis.pipeline import run_reproduction
from verovolto.thesis.plan import PROTOCOLS, Plan

MODELS = ("oc-fakedect1", "oc-fakedect2", "oc-ae")
TRIVIAL = ["bytes", "sharpness", "brightness"]


pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("compared"), train=40, people=14)


@pytest.fixture(scope="module")
def done(faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Plan:
    out = tmp_path_factory.mktemp("whole")
    whole = plan(faces, out, models=MODELS, parts=("comparison",), epochs=1, latent=3)
    run_reproduction(whole)
    return whole


def found(out: Path, protocol: str) -> dict[str, Any]:
    return dict(tables(out)["parts"]["comparison"]["protocols"][protocol])


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_model_meets_every_other_and_the_trivial_statistics(protocol: str, done: Plan) -> None:
    one = found(done.out, protocol)
    assert [result["name"] for result in one["results"]] == [*MODELS, *TRIVIAL]
    met = {(pair["name"], pair["against"]) for pair in one["pairs"]}
    among = {(MODELS[i], MODELS[j]) for i in range(3) for j in range(i + 1, 3)}
    assert met == among | {(model, name) for model in MODELS for name in TRIVIAL}
    for pair in one["pairs"]:
        for key in page.SHOWN:
            difference = pair["differences"][key]
            inside = difference["low"] <= 0 <= difference["high"]
            assert (difference["verdict"] == "no difference shown") == inside


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_figures_are_those_of_the_tables(protocol: str, done: Plan) -> None:
    by_model = {t["model"]: t for t in tables(done.out)["tables"] if t["protocol"] == protocol}
    for result in found(done.out, protocol)["results"]:
        table = by_model[result["name"] if result["name"] in MODELS else MODELS[0]]
        row = next(row for row in table["rows"] if row["score"] == result["score"])
        assert result["figures"]["auroc"] == table["ranking"][result["score"]]["auroc"]
        assert result["figures"]["accuracy"] == row["accuracy"] and result["threshold"] == row["threshold"]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_command_gives_the_same_numbers(protocol: str, done: Plan, tmp_path: Path) -> None:
    one = found(done.out, protocol)
    for result in one["results"]:
        network = {"oc-fakedect2": "oc-fakedect1"}.get(result["name"], result["name"])
        network = network if network in MODELS else MODELS[0]
        folder = tmp_path / result["name"]
        folder.mkdir()
        step = done.out / "steps" / f"score-{protocol}-{network}-0001"
        shutil.copy(step / "test.parquet", folder / "scores.parquet")
        (folder / "metrics.json").write_text(json.dumps({"score": result["score"]}))
    folders = [tmp_path / result["name"] for result in one["results"]]
    for pair in one["pairs"]:
        compare(
            *folders, baseline=tmp_path / pair["against"], out=tmp_path / "out",
            resamples=done.resamples, seed=done.seed,
        )  # fmt: skip
        told = json.loads((tmp_path / "out" / "comparison.json").read_text())
        theirs = next(result for result in told["results"] if result["name"] == pair["name"])
        for key, difference in theirs["differences"].items():
            assert pair["differences"][key] == difference
        assert told["interval"] == one["interval"] and told["faces"] == one["faces"]


def test_the_page_shows_the_table_and_the_figure(done: Plan) -> None:
    text = (done.out / "report.html").read_text()
    assert 'id="comparison"' in text and page.TITLE in text and "are none, about one in twenty" in text
    assert {f"comparison-auroc-{protocol}.png" for protocol in PROTOCOLS} <= {
        path.name for path in (done.out / "figures").iterdir()
    }


def test_nothing_is_done_twice_and_other_resamples_compare_again(
    done: Plan, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (done.out / "tables.json").read_bytes()
    capsys.readouterr()
    run_reproduction(done)
    assert "…" not in capsys.readouterr().out and (done.out / "tables.json").read_bytes() == before
    shutil.copytree(done.out, tmp_path / "out")
    run_reproduction(
        plan(done.data, tmp_path / "out", models=MODELS, parts=("comparison",), epochs=1, latent=3, seed=42,
             resamples=25)
    )  # fmt: skip
    assert "compare-honest …" in capsys.readouterr().out


def test_killed_in_the_middle_it_goes_on(
    done: Plan, faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    shutil.copytree(done.out, out)
    shutil.rmtree(out / "steps" / "compare-honest")
    again = plan(faces, out, models=MODELS, parts=("comparison",), epochs=1, latent=3)
    (out / "tables.json").unlink()
    real = workdir.finish

    def killed(path: Path, value: dict[str, Any]) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(workdir, "finish", killed)
        with pytest.raises(Killed):
            run_reproduction(again)
    assert not (out / "tables.json").exists() and workdir.finish is real
    run_reproduction(again)
    assert tables(out)["parts"] == tables(done.out)["parts"]


def test_one_model_and_one_protocol_say_what_cannot_be(faces: Path, tmp_path: Path) -> None:
    run_reproduction(plan(faces, tmp_path, protocols=("thesis",), parts=("comparison",), epochs=1))
    one = tables(tmp_path)["parts"]["comparison"]
    assert list(one["protocols"]) == ["thesis"]
    (said,) = page.findings(one)
    assert said.startswith("As published: one model alone, so there is no other to set it against; ")


def pair(name: str, against: str, value: float, low: float, high: float, verdict: str) -> dict[str, Any]:
    auroc = {"value": value, "low": low, "high": high, "verdict": verdict}
    return {"name": name, "against": against, "differences": {"auroc": auroc}}


def result(name: str, low: float, high: float) -> dict[str, Any]:
    return {"name": name, "figures": {"auroc": {"value": (low + high) / 2, "low": low, "high": high}}}


def test_better_is_said_only_where_the_paired_interval_says_so() -> None:
    same = [pair("a", "b", 0.1, -0.01, 0.2, "no difference shown")]
    base = {"models": ["a", "b"], "trivial": [], "results": [result("a", 0.6, 0.7), result("b", 0.5, 0.6)]}
    (said,) = page.findings({"protocols": {"honest": {**base, "pairs": same}}})
    assert "no two models can be told apart" in said and "better than b" not in said
    worse = [pair("a", "b", -0.1, -0.2, -0.05, "worse")]
    (said,) = page.findings({"protocols": {"honest": {**base, "pairs": worse}}})
    assert "b is better than a (+0.100 [+0.050, +0.200]), though its own AUROC is not shown" in said


def test_whom_a_model_is_better_than_is_told_in_one_clause() -> None:
    pairs = [pair("a", other, 0.1, 0.05, 0.15, "better") for other in ("b", "c", "d")]
    results = [result("a", 0.6, 0.7), *(result(other, 0.4, 0.5) for other in "bcd")]
    one = {"models": list("abcd"), "trivial": [], "results": results, "pairs": pairs}
    (said,) = page.findings({"protocols": {"honest": one}})
    assert said.count("is better than") == 1 and ", c (+0.100 [+0.050, +0.150]) and d (" in said
    assert "the AUROC of b, c and d" in said


def test_beating_a_statistic_below_chance_is_no_merit() -> None:
    below = {
        "models": ["a"], "trivial": ["bytes"], "results": [result("a", 0.4, 0.45), result("bytes", 0.3, 0.35)],
        "pairs": [pair("a", "bytes", 0.1, 0.05, 0.15, "better")],
    }  # fmt: skip
    (said,) = page.findings({"protocols": {"honest": below}})
    assert "not shown to be above 0.5: the AUROC of a" in said and "better" not in said
    above = {**below, "results": [result("a", 0.6, 0.7), result("bytes", 0.3, 0.35)]}
    (said,) = page.findings({"protocols": {"honest": above}})
    assert "a is shown to be better than every trivial statistic" in said
