"""Choose the epoch as each protocol does, judge it, and measure what each shortcut adds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from verovolto.workflows.reproduction.networks import scores
from verovolto.workflows.reproduction.plan import Plan, Protocol, score_of

if TYPE_CHECKING:
    from verovolto.evaluation.protocol import Sample
    from verovolto.workflows.reproduction.steps import Done

Scored = dict[int, "Done"]


def choose(plan: Plan, protocol: Protocol, model: str, trained: Done, scored: Scored) -> dict[str, Any]:
    """The epoch by the protocol's own rule, and what led to it: figures on the test set, losses on reals."""
    from verovolto.evaluation import arms, thesis
    from verovolto.evaluation.protocol import Sample

    score = score_of(model)
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
        "epoch": on_test if protocol == "thesis" else on_reals,
        "chosen_on": "largest area under PR on the test set" if protocol == "thesis" else
        "least loss on validation reals",
        "losses": {str(epoch): loss for epoch, loss in losses.items()},
        "ranking": ranked,
    }  # fmt: skip


def tabulate(plan: Plan, protocol: Protocol, model: str, chosen: Done, scored: Scored) -> dict[str, Any]:
    """The rows of the tables: each threshold of the protocol with counts, figures and intervals."""
    from verovolto.evaluation import arms

    score, folder = score_of(model), scored[chosen.result["epoch"]].folder
    test, val = scores(folder, "test"), scores(folder, "val")
    sample = _sample(plan, chosen, scored)
    names = arms.judged_names(sample, score)
    if protocol == "thesis":
        by_name = {name: arms.thesis_thresholds(test, val, name) for name in names}
    else:
        reals = arms.calibrate_half(val, seed=plan.seed)
        by_name = {name: arms.held_out_thresholds(reals, name, plan.false_alarm) for name in names}
    return {
        "model": model, "protocol": protocol, "score": score, "epoch": chosen.result["epoch"],
        "chosen_on": chosen.result["chosen_on"],
        "test": {"real": int((~sample.fake).sum()), "fake": int(sample.fake.sum())},
        "interval": sample.resamples.about(),
        "ranking": arms.rankings(sample, score),
        "rows": arms.rows(sample, by_name, strict=protocol == "thesis"),
    }  # fmt: skip


def ablate(
    plan: Plan, model: str, splits: dict[str, Any], chosen: Done, thesis: Scored, honest: Scored | None
) -> dict[str, Any]:
    """Take the shortcuts away one by one from the thesis's arm of a model."""
    from verovolto.evaluation import ablation, arms
    from verovolto.evaluation.thesis import judge as judge_threshold

    score, epoch = score_of(model), chosen.result["epoch"]
    drawn: dict[str, int] = {"resamples": plan.resamples, "seed": plan.seed}
    found = []
    if honest is not None:
        share = splits["cuts"]["thesis"]["met"]["probe"]
        probe, same = scores(thesis[epoch].folder, "probe"), scores(honest[epoch].folder, "test")
        found.append(arms.leak(probe, same, score, **drawn, share=share, faces=splits["train"]))
    tables = {number: scores(done.folder, "test") for number, done in thesis.items()}
    found.append(arms.selection(tables, score, epoch, chosen.result["on_reals"], **drawn))
    sample = _sample(plan, chosen, thesis)
    val = scores(thesis[epoch].folder, "val")
    pooled, largest = arms.thesis_thresholds(tables[epoch], val, score)
    held_out = arms.held_out_thresholds(val, score, plan.false_alarm)[-1]
    apart = f"80th percentile of {held_out.chosen_on}"
    for name, threshold, says in (
        ("pooled threshold", pooled, "80th percentile of the test faces, real and fake pooled"),
        ("threshold chosen with fakes", largest, f"largest F1 on {largest.chosen_on}"),
    ):
        found.append(arms.thresholds(sample, score, threshold, held_out, name=name, says=(says, apart)))
    oriented = {
        threshold.name: ablation.orientation(
            judge_threshold(
                sample.scores.values(score), sample.fake, threshold, sample.resamples, strict=True
            )
        )
        for threshold in (pooled, largest)
    }
    return {
        "model": model, "score": score, "epoch": epoch, "shortcuts": [one.to_dict() for one in found],
        "orientation": oriented,
    }  # fmt: skip


def _sample(plan: Plan, chosen: Done, scored: Scored) -> Sample:
    from verovolto.evaluation.protocol import Sample

    test = scores(scored[chosen.result["epoch"]].folder, "test")
    return Sample.of(test, chosen.result["score"], resamples=plan.resamples, seed=plan.seed)
