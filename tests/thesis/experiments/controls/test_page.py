"""What is said of controls: nothing that no interval shows, and nothing that another seed makes too."""

from __future__ import annotations

from typing import Any

import pytest

from verovolto.thesis.experiments import controls as page


def figure(value: float, verdict: str = "no difference shown", *, credited: bool = False) -> dict[str, Any]:
    spread = 0.01 if verdict in ("better", "worse") else 1.0
    return {
        "value": value, "low": value - spread, "high": value + spread, "verdict": verdict, "credited": credited
    }  # fmt: skip


def better(value: float = 0.1) -> dict[str, Any]:
    return figure(value, "better", credited=True)


def worse(value: float = -0.1) -> dict[str, Any]:
    return figure(value, "worse", credited=True)


def by_luck() -> dict[str, Any]:
    return figure(0.02, "better")


def pair(group: str, name: str, auroc: dict[str, Any], error: dict[str, Any]) -> dict[str, Any]:
    return {
        "group": group,
        "name": name,
        "partner": "other",
        "differs": "x",
        "auroc": auroc,
        "error_real": error,
    }


def content(*comparisons: dict[str, Any], auroc: float = 0.4) -> dict[str, Any]:
    row = {"name": "base", "auroc": {"value": auroc, "low": auroc - 0.02, "high": auroc + 0.02}}
    luck = pair("seed", "second seed", {**figure(-0.031), "credited": None}, figure(0.002))
    return {
        "rows": [row], "size": 64, "train": 1500, "epochs": 8, "leaky": False, "diverged": {},
        "comparisons": [luck, *comparisons],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("pooled", "flat", "said"),
    [
        (better(), better(), "rank better, as the thesis credits them"),
        (worse(), figure(0.0), "what the thesis credits to it is not shown"),
        (better(), worse(), "depends on what it is joined with"),
        (better(), by_luck(), "depends on what it is joined with"),
        (by_luck(), figure(0.0), "not shown to rank better here; nor is it shown to make no difference"),
    ],
)
def test_symmetry_is_credited_only_with_what_is_shown(
    pooled: dict[str, Any], flat: dict[str, Any], said: str
) -> None:
    pairs = [pair("symmetry", "pooled", pooled, figure(0.0)), pair("symmetry", "flat", flat, figure(0.0))]
    assert said in " ".join(page.findings(content(*pairs)))


def test_that_symmetry_reconstructs_better_is_told_apart_from_ranking() -> None:
    pairs = [pair("symmetry", name, worse(), better(-0.2)) for name in ("pooled", "flat")]
    said = " ".join(page.findings(content(*pairs)))
    assert "does not rank better here" in said and "It reconstructs unseen reals better: pooled minus" in said
    pairs[0]["error_real"] = by_luck()
    assert "It reconstructs" not in " ".join(page.findings(content(*pairs)))


def test_pretraining_is_credited_by_both_figures_apart() -> None:
    said = " ".join(page.findings(content(pair("pretraining", "pretrained", worse(), better(-0.2)))))
    assert "reconstructs unseen reals better and ranks worse" in said
    said = " ".join(page.findings(content(pair("pretraining", "pretrained", by_luck(), figure(0.0)))))
    assert "not shown to reconstruct unseen reals otherwise" in said and "not shown to rank otherwise" in said
    assert "no larger than seed variance" in said


def test_better_is_said_to_be_less_wrong_where_none_finds_fakes() -> None:
    assert "the better is the less wrong" in page.findings(content())[-1]
    assert "1 of 1 (base)" in page.findings(content(auroc=0.8))[-1]


def test_of_the_rest_only_what_may_be_credited_is_told() -> None:
    pairs = [
        pair("bottleneck", "spatial", worse(), figure(0.0)),
        pair("beta", "beta 10", by_luck(), figure(0.0)),
        pair("latent", "latent 32", figure(0.0), figure(0.0)),
    ]
    said = page.findings(content(*pairs))[2]
    assert "spatial minus other -0.100" in said and "to be credited: beta 10, latent 32." in said
    assert "none is shown to differ; no" in page.findings(content(pairs[1]))[2]


def test_luck_is_told_first_and_marks_the_cells() -> None:
    said = page.findings(content())
    assert "up to 0.031 apart in AUROC and 0.002 in the error" in said[1]
    assert page.verdict(by_luck()) == "within seed variance"
    assert page.verdict(worse()) == "worse" and page.verdict(figure(0.0)) == ""
    assert page.verdict({**figure(0.0), "verdict": "no interval"}) == "no interval"


def test_pairs_are_shown_where_the_faces_have_any() -> None:
    assert list(page.metrics(content())) == ["auroc", "error_real"]
    with_pairs = content()
    with_pairs["comparisons"][0]["pairs_ordered"] = figure(0.0)
    assert list(page.metrics(with_pairs)) == ["auroc", "pairs_ordered", "error_real"]


def test_figures_are_drawn_with_and_without_intervals() -> None:
    bare = {"value": 0.1, "low": None, "high": None, "verdict": "no interval", "credited": False}
    drawn = page.figures(content(pair("beta", "beta 0", bare, {**bare, "value": None})))
    assert set(drawn) == {"auroc", "error"} and all(png.startswith(b"\x89PNG") for png in drawn.values())
