"""The document of a reproduction: the thesis's tables and figures, as published and as it should be, side by side.

`build` fills the template from the dictionaries of `tables.json` and the figures; nothing here computes a result.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from verovolto.report.evaluation_text import change, estimate
from verovolto.report.html import Page, data_uri, environment
from verovolto.thesis.report.figures import shortcut_forest

TITLES = {"thesis": "as published", "honest": "as it should be"}
# The figure by which each shortcut is summed up: the one it works on.
METRICS = {
    "leak": "auroc",
    "selection": "ap_real",
    "pooled threshold": "accuracy",
    "threshold chosen with fakes": "f1_real",
    "uniform noise": "auroc",
    "leak and uniform noise": "auroc",
    "strict rule": "accuracy",
}
METRIC_NAMES = {
    "auroc": "AUROC", "ap_real": "area under PR of the reals", "ap_fake": "area under PR of the fakes",
    "accuracy": "accuracy", "balanced_accuracy": "balanced accuracy", "precision_real": "precision of real",
    "recall_real": "recall of real", "f1_real": "F1 of real", "precision_fake": "precision of fake",
    "f1_fake": "F1 of fake",
}  # fmt: skip
# Figure's name, its number in the thesis, the caption.
CAPTIONS = (
    ("network", "Figures 1-3 and 5", "The network, read off itself."),
    ("histograms", "Figure 9", "Scores of the test faces at each checkpoint; the bars of a class have area 1."),
    ("precision_recall", "Figure 10", "Precision against recall of the reals at each checkpoint; dotted: guessing."),
    ("f1", "Figure 20", "F1 of either class against the threshold, on validation faces; lines: the thresholds set."),
    ("tsne", "Figures 8 and 11", "t-SNE of the latent means, seeded. A round cloud is no proof of normality."),
    ("latent_use", "Beside 8 and 11", "What each latent dimension carries: mean KL to N(0, I) in nats, by rank."),
    ("faces_real", "Figures 12-15, 17, 18", "Ten test reals drawn by the seed: input, reconstruction, error."),
    ("faces_fake", "Figures 12-15, 17, 18", "Ten test fakes drawn by the seed; their errors on the reals' scale."),
    ("spectra", "Figures 16 and 19", "Errors of three reals and three fakes: 2-D power, and 3-D amplitude if kept."),
    ("radial", "Beside 16 and 19", "Mean radial power of the errors of reals and fakes, with 95 % bands by cluster."),
)  # fmt: skip
WIDE = {"network", "histograms", "faces_real", "faces_fake", "spectra", "radial"}


@dataclass(frozen=True, kw_only=True)
class Arm:
    """A model under a protocol. `table` and `choice`: what the steps of the same name found; `figures`: PNG by name;
    `latents`: active dimensions, dimensions and KL in nats, None for a network without."""

    table: Mapping[str, Any]
    choice: Mapping[str, Any]
    figures: Mapping[str, bytes]
    latents: Mapping[str, float] | None

    @property
    def name(self) -> str:
        return f"{self.table['protocol']}-{self.table['model']}"


def build(content: Mapping[str, Any], arms: Sequence[Arm], *, command: str, hide_faces: bool) -> Page:
    """The page, from what `tables.json` holds and the arms behind it."""
    drawn = {f"{arm.name}-{name}": png for arm in arms for name, png in arm.figures.items()}
    for one in (one for one in content["ablations"] if one["shortcuts"]):
        drawn[f"shortcuts-{one['model']}"] = shortcut_forest(one["shortcuts"], METRICS)
    parts = [
        (name, import_module(f"verovolto.thesis.experiments.{name}.page"), found)
        for name, found in content["parts"].items()
    ]
    for name, module, found in parts:
        drawn |= {f"{name}-{figure}": png for figure, png in module.figures(found).items()}
    html = environment().get_template("reproduction.html.j2").render(
        c=content,
        arms=[(arm, _cards(arm, arms)) for arm in arms],
        images={name: data_uri(png) for name, png in drawn.items()},
        findings=findings(content),
        parts=parts,
        measured=measured,
        titles=titles_of(content),
        kept={one["name"] for one in content["quirks"] if one["kept"]},
        metric_names=METRIC_NAMES,
        metrics=METRICS,
        command=command,
        hide_faces=hide_faces,
    )  # fmt: skip
    return Page(html=html, figures=drawn)


def titles_of(content: Mapping[str, Any]) -> dict[str, str]:
    """The protocols in words: the arm as published says which quirks were switched, where any was."""
    lost = [one["name"] for one in content["quirks"] if one["default"] and not one["kept"]]
    added = [one["name"] for one in content["quirks"] if one["kept"] and not one["default"]]
    if content["quirks"] and not any(one["kept"] for one in content["quirks"]):
        lost = ["any quirk"]
    said = [f"{word} {', '.join(names)}" for word, names in (("without", lost), ("with", added)) if names]
    return {**TITLES, "thesis": "; ".join([TITLES["thesis"], *said])}


def findings(content: Mapping[str, Any]) -> dict[str, list[str]]:
    """What came out, by model: a sentence for each protocol, then one for what each shortcut adds."""
    said: dict[str, list[str]] = {}
    titles = titles_of(content)
    for table in content["tables"]:
        first = next(row for row in table["rows"] if row["score"] == table["score"])
        said.setdefault(table["model"], []).append(
            f"{titles[table['protocol']].capitalize()}: accuracy {estimate(first['accuracy'])}, balanced accuracy "
            f"{estimate(first['balanced_accuracy'])}, AUROC {estimate(table['ranking'][table['score']]['auroc'])}."
        )
    for one in (one for one in content["ablations"] if one["shortcuts"]):
        effects = "; ".join(effect(shortcut) for shortcut in one["shortcuts"])
        said[one["model"]].append(f"What the shortcuts add: {effects}.")
    return said


def measured(tables: Sequence[Mapping[str, Any]]) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """The rows of the tables of one protocol, each with its table: the models' own first, then the trivial statistics,
    which are the same for every model and are shown once."""
    own = [(table, row) for table in tables for row in table["rows"] if row["score"] == table["score"]]
    trivial = [(tables[0], row) for row in tables[0]["rows"] if row["score"] != tables[0]["score"]]
    return own + trivial


def effect(shortcut: Mapping[str, Any]) -> str:
    """What a shortcut adds to its own metric, and whether that is shown."""
    metric = METRICS[shortcut["name"]]
    found = shortcut["figures"][metric]
    low, high = found["difference"]["low"], found["difference"]["high"]
    if low is None or high is None:
        verdict = "no interval"
    elif low == high == 0:
        verdict = "nothing changed"
    elif low > 0:
        verdict = "it flatters"
    else:
        verdict = "it costs" if high < 0 else "no difference shown"
    return f"{shortcut['name']}, {METRIC_NAMES[metric]} {change(found['difference'])} ({verdict})"


def as_csv(content: Mapping[str, Any]) -> str:
    """Tables 1 and 2, published and measured, a row a threshold; positive is real, empty cells are not known."""
    figures = ("precision", "recall", "accuracy", "precision_fake", "recall_fake", "balanced_accuracy",
               "false_alarm_rate", "missed_fakes")  # fmt: skip
    columns = ["source", "protocol", "model", "score", "data", "epoch", "threshold_name", "threshold", "chosen_on",
               "rule", "tp", "fp", "tn", "fn"]  # fmt: skip
    columns += [f"{name}{end}" for name in figures for end in ("", "_low", "_high")]
    columns += [f"{name}{end}" for name in ("auroc", "ap_real") for end in ("", "_low", "_high")]
    columns.append("quirks")
    kept = " ".join(one["name"] for one in content["quirks"] if one["kept"]) or "none"
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    for row in content["published"]:
        writer.writerow({
            "source": f"published, table {row['table']}", "protocol": "thesis", "model": row["model"],
            "data": row["data"], "threshold_name": row["rule"], "threshold": row["threshold"],
            **{name: row[name] for name in ("precision", "recall", "accuracy")},
        })  # fmt: skip
    for table in content["tables"]:
        data = f"{content['data']['set']}, {table['test']['real']} + {table['test']['fake']} faces"
        for row in table["rows"]:
            known = {name: row[name] for name in figures}
            known |= {name: table["ranking"][row["score"]][name] for name in ("auroc", "ap_real")}
            writer.writerow({
                "source": "measured", "protocol": table["protocol"], "model": table["model"], "score": row["score"],
                "data": data, "epoch": table["epoch"], "threshold_name": row["threshold"]["name"],
                "threshold": row["threshold"]["value"], "chosen_on": row["threshold"]["chosen_on"],
                "rule": row["rule"], **row["counts"], **_flat(known),
                "quirks": kept if table["protocol"] == "thesis" else "none",
            })  # fmt: skip
    return text.getvalue()


def _flat(figures: Mapping[str, Mapping[str, float | None]]) -> dict[str, float | None]:
    return {
        f"{name}{end}": found[key]
        for name, found in figures.items()
        for end, key in (("", "value"), ("_low", "low"), ("_high", "high"))
    }


def _cards(arm: Arm, arms: Sequence[Arm]) -> list[dict[str, str]]:
    """The figures of an arm in the thesis's order; a network is drawn once, where it comes first."""
    first = next(one for one in arms if one.figures.get("network") == arm.figures.get("network"))
    return [
        {
            "image": f"{arm.name}-{name}",
            "number": number,
            "caption": caption,
            "kind": "wide" if name in WIDE else "",
        }
        for name, number, caption in CAPTIONS
        if name in arm.figures and (name != "network" or arm is first)
    ]
