"""Choose the epoch as each protocol does, judge it, and measure what each shortcut adds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from verovolto.thesis.deviations import Quirk
from verovolto.thesis.networks import scores
from verovolto.thesis.plan import Plan, Protocol

if TYPE_CHECKING:
    from verovolto.calibration.thresholds import Threshold
    from verovolto.core.workdir import Done
    from verovolto.data.score_table import ScoreTable
    from verovolto.evaluation.groups import Sample
    from verovolto.thesis.ablation import Shortcut

Scored = dict[int, "Done"]
ABLATED: tuple[Quirk, ...] = ("leak", "uniform-noise", "test-epoch", "pooled", "max-f1", "strict")
"""The quirks that `ablate` sees, besides the score."""


def choose(plan: Plan, protocol: Protocol, model: str, trained: Done, scored: Scored) -> dict[str, Any]:
    """The epoch by the protocol's own rule, and what led to it: figures on the test set, losses on reals."""
    from verovolto.evaluation.groups import Sample
    from verovolto.thesis import metrics as thesis
    from verovolto.thesis import protocols as arms

    score, by_test = plan.score_of(protocol, model), bool(plan.kept(protocol, "test-epoch"))
    areas, ranked = {}, {}
    for epoch, done in scored.items():
        test = scores(done.folder, "test")
        areas[epoch] = thesis.area_under_pr(*arms.labels_of(test, score))
        sample = Sample.of(test, score, resamples=plan.resamples, seed=plan.seed)
        ranked[str(epoch)] = arms.rankings(sample, score)[score]
    losses = {epoch: float(trained.result["losses"][str(epoch)]) for epoch in scored}
    on_test, on_reals = thesis.chosen_on_test(areas), thesis.chosen_on_reals(losses)
    return {
        "model": model, "protocol": protocol, "score": score, "on_test": on_test, "on_reals": on_reals,
        "epoch": on_test if by_test else on_reals,
        "chosen_on": "largest area under PR on the test set" if by_test else "least loss on validation reals",
        "losses": {str(epoch): loss for epoch, loss in losses.items()},
        "ranking": ranked,
    }  # fmt: skip


def tabulate(plan: Plan, protocol: Protocol, model: str, chosen: Done, scored: Scored) -> dict[str, Any]:
    """The rows of the tables: each threshold of the protocol with counts, figures and intervals."""
    from verovolto.thesis import protocols as arms

    score, folder = chosen.result["score"], scored[chosen.result["epoch"]].folder
    sample = _sample(plan, chosen, scored)
    names = arms.judged_names(sample, score)
    if protocol == "thesis":
        by_name = {name: _published(plan, chosen, scored, name) for name in names}
    else:
        val = scores(folder, "val")
        reals = arms.calibrate_half(val, seed=plan.seed)
        by_name = {name: arms.held_out_thresholds(reals, name, plan.false_alarm) for name in names}
    return {
        "model": model, "protocol": protocol, "score": score, "epoch": chosen.result["epoch"],
        "chosen_on": chosen.result["chosen_on"],
        "test": {"real": int((~sample.fake).sum()), "fake": int(sample.fake.sum())},
        "interval": sample.resamples.metadata(),
        "ranking": arms.rankings(sample, score),
        "rows": arms.rows(sample, by_name, strict=bool(plan.kept(protocol, "strict"))),
    }  # fmt: skip


def ablate(
    plan: Plan, model: str, splits: dict[str, Any], chosen: Done, thesis: Scored, honest: Scored | None
) -> dict[str, Any]:
    """Take the shortcuts away one by one from the thesis's arm of a model: those quirks that it keeps."""
    from verovolto.thesis import ablation
    from verovolto.thesis.metrics import judge as judge_threshold

    score, sample = chosen.result["score"], _sample(plan, chosen, thesis)
    own = _published(plan, chosen, thesis, score)
    found = [
        *_of_training(plan, splits, chosen, thesis, honest),
        *_of_choice(plan, chosen, thesis),
        *_of_thresholds(plan, chosen, thesis, sample, own),
    ]
    strict = bool(plan.kept("thesis", "strict"))
    oriented = {
        threshold.name: ablation.orientation(
            judge_threshold(
                sample.scores.values(score), sample.fake, threshold, sample.resamples, strict=strict
            )
        )
        for threshold in own
    }
    return {
        "model": model, "score": score, "epoch": chosen.result["epoch"],
        "shortcuts": [one.to_dict() for one in found], "orientation": oriented,
    }  # fmt: skip


def _of_training(
    plan: Plan, splits: dict[str, Any], chosen: Done, thesis: Scored, honest: Scored | None
) -> list[Shortcut]:
    """What the networks differ in, which takes those of the sound protocol beside these."""
    from verovolto.thesis import protocols as arms

    kept = plan.kept("thesis", "leak", "uniform-noise")
    if honest is None or not kept:
        return []
    epoch, score = chosen.result["epoch"], chosen.result["score"]
    judged = scores(thesis[epoch].folder, "probe" if "leak" in kept else "test")
    same = scores(honest[epoch].folder, "test")
    resamples, seed, faces = plan.resamples, plan.seed, splits["train"]
    if "leak" not in kept:
        return [arms.noise(judged, same, score, resamples=resamples, seed=seed, faces=faces)]
    share, uniform = splits["cuts"]["thesis"]["met"]["probe"], "uniform-noise" in kept
    return [
        arms.leak(
            judged, same, score, resamples=resamples, seed=seed, share=share, faces=faces, uniform=uniform
        )
    ]


def _of_choice(plan: Plan, chosen: Done, thesis: Scored) -> list[Shortcut]:
    from verovolto.thesis import protocols as arms

    if not plan.kept("thesis", "test-epoch"):
        return []
    tables = {number: scores(done.folder, "test") for number, done in thesis.items()}
    return [
        arms.selection(
            tables, chosen.result["score"], chosen.result["epoch"], chosen.result["on_reals"],
            resamples=plan.resamples, seed=plan.seed, judged=_judged(plan),
        )
    ]  # fmt: skip


def _of_thresholds(
    plan: Plan, chosen: Done, thesis: Scored, sample: Sample, own: list[Threshold]
) -> list[Shortcut]:
    """Each published threshold against the same of held-out reals; the strict rule alone, where it is all there is."""
    from verovolto.thesis import protocols as arms

    score, kept = chosen.result["score"], plan.kept("thesis", "pooled", "max-f1", "strict")
    held_out = arms.percentile_of_reals(_reals(plan, chosen, thesis), score)
    apart = f"80th percentile of {held_out.chosen_on}"
    pooled, largest = own
    shown: list[tuple[str, Threshold, str]] = []
    if "pooled" in kept:
        shown.append(("pooled threshold", pooled, "80th percentile of the test faces, real and fake pooled"))
    if "max-f1" in kept:
        shown.append(("threshold chosen with fakes", largest, f"largest F1 on {largest.chosen_on}"))
    if kept == ["strict"]:
        shown.append(("strict rule", held_out, f"{apart}, a face that scores as much flagged"))
    return [
        arms.thresholds(
            sample, score, threshold, held_out, name=name, says=(says, apart), strict="strict" in kept,
            judged=_judged(plan),
        )
        for name, threshold, says in shown
    ]  # fmt: skip


def _published(plan: Plan, chosen: Done, thesis: Scored, name: str) -> list[Threshold]:
    """The two thresholds of the arm as published, of a score or trivial statistic."""
    from verovolto.thesis import protocols as arms

    folder = thesis[chosen.result["epoch"]].folder
    quirks = plan.kept("thesis", "pooled", "max-f1", "strict")
    kept = arms.Judging(pooled="pooled" in quirks, max_f1="max-f1" in quirks, strict="strict" in quirks)
    return arms.thesis_thresholds(
        scores(folder, "test"), scores(folder, "val"), name, kept=kept, reals=_reals(plan, chosen, thesis),
        false_alarm=plan.false_alarm,
    )  # fmt: skip


def _reals(plan: Plan, chosen: Done, thesis: Scored) -> ScoreTable:
    """The validation faces that chose no epoch: all, where the test set chose it."""
    from verovolto.thesis import protocols as arms

    val = scores(thesis[chosen.result["epoch"]].folder, "val")
    return val if plan.kept("thesis", "test-epoch") else arms.calibrate_half(val, seed=plan.seed)


def _judged(plan: Plan) -> str:
    from verovolto.thesis.protocols import RANDOM_FRAMES

    return RANDOM_FRAMES if plan.kept("thesis", "leak") else "of the thesis's arm, cut by people"


def _sample(plan: Plan, chosen: Done, scored: Scored) -> Sample:
    from verovolto.evaluation.groups import Sample

    test = scores(scored[chosen.result["epoch"]].folder, "test")
    return Sample.of(test, chosen.result["score"], resamples=plan.resamples, seed=plan.seed)
