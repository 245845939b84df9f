"""The document of a reproduction: `report.html`, `tables.json`, `tables.csv` and `figures/`.

The thesis's tables and figures, as published and as it should be, side by side. Nothing here computes a result.
"""

from __future__ import annotations

import csv
import io
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader

from verovolto import __version__
from verovolto.core.files import write_json, write_text
from verovolto.core.workdir import Done
from verovolto.report.html import Page, change, data_uri, environment, estimate
from verovolto.thesis.experiments import load
from verovolto.thesis.figures import shortcut_forest
from verovolto.thesis.metrics import PUBLISHED
from verovolto.thesis.plan import Context, Evaluated, Plan, to_json

SCHEMA_VERSION = 1
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


def write_document(
    context: Context, ablations: Sequence[Done], parts: Mapping[str, Mapping[str, Any]]
) -> Path:
    """Put the results together: of the steps, of those that measured the shortcuts, and of the experiments by name.

    Every file appears whole. Returns the page.
    """
    plan = context.plan
    models = list(context.evaluated.values())
    content: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "version": __version__,
        "data": context.splits.result,
        "settings": _settings(plan),
        "quirks": to_json(plan.deviations) if "thesis" in plan.protocols else [],
        "published": [asdict(row) for row in PUBLISHED],
        "tables": [model.table.result for model in models],
        "checkpoints": [model.choice.result for model in models],
        "latents": {model.name: model.figures.result["latents"] for model in models},
        "ablations": [done.result for done in ablations],
        "parts": {name: dict(result) for name, result in parts.items()},
    }
    page = _build(content, models, command=command_of(plan), hide_faces=plan.no_faces)
    write_json(plan.out / "tables.json", content)
    write_text(plan.out / "tables.csv", as_csv(content))
    return page.write(plan.out)


def command_of(plan: Plan) -> str:
    """The exact command that makes this document again."""
    protocol = "both" if len(plan.protocols) > 1 else "thesis" if "thesis" in plan.protocols else "sound"
    words = ["verovolto", "reproduce", "--data", str(plan.data), "--out", str(plan.out), "--protocol", protocol,
             "--models", ",".join(plan.models), "--parts", ",".join(plan.parts) or "none"]  # fmt: skip
    if "thesis" in plan.protocols:
        words += ["--deviations", ",".join(plan.deviations) or "none"]
    for field in fields(plan):
        value = getattr(plan, field.name)
        named = field.name in ("data", "out", "protocols", "models", "parts", "deviations")
        if named or value is None or value is False:
            continue
        words += [f"--{field.name.replace('_', '-')}", *([] if value is True else [str(value)])]
    return shlex.join(words)


def _settings(plan: Plan) -> dict[str, Any]:
    """The settings as JSON holds them; the places on this machine are in the command alone."""
    keys = {"deviations": "quirks"}  # as earlier versions wrote it
    left_out = {"data", "out", "dry_run", *(() if "thesis" in plan.protocols else ("deviations",))}
    values = {
        keys.get(field.name, field.name): getattr(plan, field.name)
        for field in fields(plan)
        if field.name not in left_out
    }
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def _build(
    content: Mapping[str, Any], models: Sequence[Evaluated], *, command: str, hide_faces: bool
) -> Page:
    """Fill the template from what `tables.json` holds and the models behind it."""
    pictures = {model.name: model.pictures() for model in models}
    drawn = {f"{model}-{name}": png for model, of in pictures.items() for name, png in of.items()}
    for one in (one for one in content["ablations"] if one["shortcuts"]):
        drawn[f"shortcuts-{one['model']}"] = shortcut_forest(one["shortcuts"], METRICS)
    parts = [(name, load(name), result) for name, result in content["parts"].items()]
    for name, shown, result in parts:
        drawn |= {f"{name}-{key}": png for key, png in shown.figures(result).items()}
    html = _environment().get_template("templates/reproduction.html.j2").render(
        c=content,
        models=[(model, _cards(model.name, pictures)) for model in models],
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


def _environment() -> Environment:
    """The templates of the reports, and those of this room and its experiments, by their path in it."""
    templates = environment()
    assert templates.loader is not None, "the reports have templates"
    templates.loader = ChoiceLoader([templates.loader, PackageLoader("verovolto.thesis", ".")])
    return templates


def titles_of(content: Mapping[str, Any]) -> dict[str, str]:
    """The protocols in words: the one as published says which deviations were switched, where any was."""
    lost = [one["name"] for one in content["quirks"] if one["default"] and not one["kept"]]
    added = [one["name"] for one in content["quirks"] if one["kept"] and not one["default"]]
    if content["quirks"] and not any(one["kept"] for one in content["quirks"]):
        lost = ["any deviation"]
    switched = [f"{word} {', '.join(names)}" for word, names in (("without", lost), ("with", added)) if names]
    return {**TITLES, "thesis": "; ".join([TITLES["thesis"], *switched])}


def findings(content: Mapping[str, Any]) -> dict[str, list[str]]:
    """What came out, by model: a sentence for each protocol, then one for what each shortcut adds."""
    sentences: dict[str, list[str]] = {}
    titles = titles_of(content)
    for table in content["tables"]:
        first = next(row for row in table["rows"] if row["score"] == table["score"])
        sentences.setdefault(table["model"], []).append(
            f"{titles[table['protocol']].capitalize()}: accuracy {estimate(first['accuracy'])}, balanced accuracy "
            f"{estimate(first['balanced_accuracy'])}, AUROC {estimate(table['ranking'][table['score']]['auroc'])}."
        )
    for one in (one for one in content["ablations"] if one["shortcuts"]):
        effects = "; ".join(effect(shortcut) for shortcut in one["shortcuts"])
        sentences[one["model"]].append(f"What the shortcuts add: {effects}.")
    return sentences


def measured(tables: Sequence[Mapping[str, Any]]) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """The rows of the tables of one protocol, each with its table: the models' own first, then the trivial statistics.

    Those are the same for every model and are shown once.
    """
    own = [(table, row) for table in tables for row in table["rows"] if row["score"] == table["score"]]
    trivial = [(tables[0], row) for row in tables[0]["rows"] if row["score"] != tables[0]["score"]]
    return own + trivial


def effect(shortcut: Mapping[str, Any]) -> str:
    """What a shortcut adds to its own metric, and whether that is shown."""
    metric = METRICS[shortcut["name"]]
    difference = shortcut["figures"][metric]["difference"]
    low, high = difference["low"], difference["high"]
    if low is None or high is None:
        verdict = "no interval"
    elif low == high == 0:
        verdict = "nothing changed"
    elif low > 0:
        verdict = "it flatters"
    else:
        verdict = "it costs" if high < 0 else "no difference shown"
    return f"{shortcut['name']}, {METRIC_NAMES[metric]} {change(difference)} ({verdict})"


def as_csv(content: Mapping[str, Any]) -> str:
    """Tables 1 and 2, published and measured, a row a threshold; positive is real, empty cells are not known."""
    figures = ("precision", "recall", "accuracy", "precision_fake", "recall_fake", "balanced_accuracy",
               "false_alarm_rate", "missed_fakes")  # fmt: skip
    columns = ["source", "protocol", "model", "score", "data", "epoch", "threshold_name", "threshold", "chosen_on",
               "rule", "tp", "fp", "tn", "fn"]  # fmt: skip
    columns += [f"{name}{end}" for name in (*figures, "auroc", "ap_real") for end in ("", "_low", "_high")]
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
            estimates = {name: row[name] for name in figures}
            estimates |= {name: table["ranking"][row["score"]][name] for name in ("auroc", "ap_real")}
            writer.writerow({
                "source": "measured", "protocol": table["protocol"], "model": table["model"], "score": row["score"],
                "data": data, "epoch": table["epoch"], "threshold_name": row["threshold"]["name"],
                "threshold": row["threshold"]["value"], "chosen_on": row["threshold"]["chosen_on"],
                "rule": row["rule"], **row["counts"], **_flat(estimates),
                "quirks": kept if table["protocol"] == "thesis" else "none",
            })  # fmt: skip
    return text.getvalue()


def _flat(estimates: Mapping[str, Mapping[str, float | None]]) -> dict[str, float | None]:
    return {
        f"{name}{end}": value[key]
        for name, value in estimates.items()
        for end, key in (("", "value"), ("_low", "low"), ("_high", "high"))
    }


def _cards(model: str, pictures: Mapping[str, Mapping[str, bytes]]) -> list[dict[str, str]]:
    """The figures of a model in the thesis's order; a network is drawn once, where it comes first."""
    own = pictures[model]
    first = next(name for name, of in pictures.items() if of.get("network") == own.get("network"))
    return [
        {
            "image": f"{model}-{name}",
            "number": number,
            "caption": caption,
            "kind": "wide" if name in WIDE else "",
        }
        for name, number, caption in CAPTIONS
        if name in own and (name != "network" or model == first)
    ]
