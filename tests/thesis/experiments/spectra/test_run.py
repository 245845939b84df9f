"""The part `spectra` of a reproduction: the conjecture tested on every network, and a score made of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from markupsafe import escape

from tests.conftest import write_set
from tests.thesis.test_reproduce import Killed, plan, tables
from verovolto.core import workdir
from verovolto.data.score_table import ScoreTable
from verovolto.evaluation.paired import compare_scores
from verovolto.thesis.experiments import spectra as page
from verovolto.thesis.pipeline import run_reproduction
from verovolto.thesis.plan import Plan

MADE = "typicality of error given input"


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("spectra"), train=40, people=14)


@pytest.fixture(scope="module")
def done(faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Plan:
    out = tmp_path_factory.mktemp("whole")
    whole = plan(
        faces,
        out,
        models=("oc-fakedect1", "oc-fakedect2"),
        parts=("spectra",),
        protocols=("honest",),
        epochs=1,
    )
    run_reproduction(whole)
    return whole


def found(out: Path) -> dict[str, Any]:
    return dict(tables(out)["parts"]["spectra"])


def test_every_network_is_tested_once_at_its_epoch(done: Plan) -> None:
    part = found(done.out)
    assert part["protocol"] == "honest"
    (one,) = part["networks"]  # the two models are one network
    assert one["network"] == "oc-fakedect1" and one["models"] == list(done.models) and one["epoch"] == 1
    assert list(one["comparisons"]) == ["error", "input", "error given input"]
    for compared in one["comparisons"].values():
        assert (
            len(compared["bands"]) == len(one["edges"]) - 1 == 2
        )  # of 8 pixels a side no more can be told apart
        assert compared["faces"] == {"real": 28, "fake": 28}
        assert "sign flips" in compared["test"]["design"]  # every fake has its real counterpart
        assert all(0 < band["p_corrected"] <= 1 for band in compared["bands"])
    # The drawn fakes are blurred, which any spectrum of the pictures shows.
    assert one["comparisons"]["input"]["bands"][1]["g"]["high"] < 0
    assert one["comparisons"]["input"]["bands"][1]["p_corrected"] <= 0.05
    assert 0 < one["fitted_on"] < 28


def test_the_score_stands_beside_the_models_own_on_the_same_resamples(done: Plan) -> None:
    (one,) = found(done.out)["networks"]
    assert list(one["scores"])[:3] == ["rmse", "latent", MADE]
    assert {"band 1", "band 2", "bytes", "sharpness", "brightness"} <= set(one["scores"])
    assert one["scores"]["rmse"]["difference"] is None
    table = ScoreTable.read(done.out / "steps" / "score-honest-oc-fakedect1-0001" / "test.parquet")
    again = compare_scores(
        [("rmse", table, "rmse"), ("latent", table, "latent")], resamples=done.resamples, seed=done.seed
    )
    assert one["scores"]["latent"]["difference"] == again["results"][1]["differences"]["auroc"]
    assert one["scores"]["rmse"]["auroc"] == again["results"][0]["figures"]["auroc"]
    made = one["scores"][MADE]
    assert made["difference"]["value"] == pytest.approx(
        made["auroc"]["value"] - one["scores"]["rmse"]["auroc"]["value"]
    )


def test_the_document_shows_it_and_says_no_more_than_is_shown(done: Plan) -> None:
    html = (done.out / "report.html").read_text()
    (one,) = found(done.out)["networks"]
    assert str(escape(one["verdict"])) in html and 'id="spectra"' in html
    figures = {path.name for path in (done.out / "figures").iterdir()}
    assert {"spectra-radial-oc-fakedect1.png", "spectra-effects-oc-fakedect1.png"} <= figures
    (sentence,) = page.findings(found(done.out))
    low, high = (one["scores"][MADE]["difference"][end] for end in ("low", "high"))
    assert ("not shown to differ from the model's own" in sentence) is (low <= 0 <= high)
    assert "not shown to differ from the model's own" in page.findings(_with_difference(done, -0.1, 0.1))[0]
    assert "better than the model's own" in page.findings(_with_difference(done, 0.05, 0.1))[0]


def _with_difference(done: Plan, low: float, high: float) -> dict[str, Any]:
    part = found(done.out)
    verdict = "better" if low > 0 else "no difference shown"
    part["networks"][0]["scores"][MADE]["difference"] = {
        "value": (low + high) / 2, "low": low, "high": high, "verdict": verdict,
    }  # fmt: skip
    return part


def test_killed_it_goes_on_and_asked_for_twice_nothing_is_done(
    done: Plan,
    faces: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    again = plan(faces, tmp_path, parts=("spectra",), protocols=("honest",), epochs=1)
    real = workdir.finish

    def killed(path: Path, value: dict[str, Any]) -> None:
        if value["step"].startswith("spectra"):
            raise Killed
        real(path, value)

    monkeypatch.setattr(workdir, "finish", killed)
    with pytest.raises(Killed):
        run_reproduction(again)
    monkeypatch.setattr(workdir, "finish", real)
    capsys.readouterr()
    run_reproduction(again)
    taken = [line for line in capsys.readouterr().out.splitlines() if line.endswith("…")]
    assert taken == ["spectra-honest-oc-fakedect1 …"]
    # The same network, judged for one model: the figures of the spectra are the same.
    assert found(tmp_path)["networks"][0]["comparisons"] == found(done.out)["networks"][0]["comparisons"]
    monkeypatch.setattr(workdir, "finish", lambda *_: pytest.fail("a step was done again"))
    run_reproduction(again)


def test_too_few_reals_to_fit_on_are_said(
    faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "verovolto.thesis.experiments.spectra.bands_for",
        lambda _: tuple(np.linspace(0.1, 0.5, 6)),
    )
    run_reproduction(plan(faces, tmp_path, parts=("spectra",), protocols=("honest",), epochs=1, size=16))
    (one,) = found(tmp_path)["networks"]
    assert "too few" in one["why_not"] and "comparisons" not in one
    html = (tmp_path / "report.html").read_text()
    assert str(escape(one["why_not"])) in html and "not measured" in html


def test_the_published_way_alone_can_be_tested_too(faces: Path, tmp_path: Path) -> None:
    run_reproduction(plan(faces, tmp_path, parts=("spectra",), protocols=("thesis",), epochs=1))
    part = found(tmp_path)
    assert part["protocol"] == "thesis" and len(part["networks"]) == 1
    assert "share people" in (tmp_path / "report.html").read_text()
