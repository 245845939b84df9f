"""The documents as a site: `make docs`. Each page is plain Markdown that reads the same in the repository.

What a site needs besides is added here and stands in no page: the order, the reference of the Python API below
`api.md`, and `llms.txt` (`tools/llms.py`).
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from docutils.nodes import SkipNode
from latex2mathml.converter import convert

import verovolto

sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))
from llms import llms_txt

ORDER: dict[str, tuple[str, ...]] = {
    "Begin": ("quickstart", "concepts", "calibrate", "train", "evaluate", "thesis"),
    "Detectors": ("detectors/index", "results", "peers"),
    "Reference": (
        "scan",
        "prepare",
        "service",
        "evidence",
        "hub",
        "sklearn",
        "layouts",
        "data",
        "api",
        "metrics-schema",
    ),
    "Running it": ("performance", "scale", "security"),
    "The project": ("lab-notebook", "architecture", "decisions"),
}
"""The pages, in the order of the site; `detectors/index` has those of its folder below it."""
REFERENCE: dict[str, tuple[str, ...]] = {
    "Detectors": (
        "class verovolto.detectors.base.Detector", "class verovolto.detectors.base.Scores",
        "class verovolto.detectors.base.Explanation", "class verovolto.sklearn.OneClassDetector",
    ),
    "From photos and videos to verdicts": (
        "function verovolto.scanning.run.scan", "function verovolto.preparation.pipeline.prepare",
    ),
    "Faces and scores": ("class verovolto.data.faceset.FaceSet", "class verovolto.data.score_table.ScoreTable"),
    "Training and judging": (
        "function verovolto.training.fit.fit", "function verovolto.evaluation.run.evaluate",
    ),
    "Calibration": (
        "class verovolto.calibration.thresholds.Calibration", "module verovolto.calibration.likelihood_ratio",
    ),
    "Metrics": ("module verovolto.evaluation.metrics", "module verovolto.evaluation.bootstrap"),
    "Networks": ("module verovolto.networks.vae",),
}  # fmt: skip
"""What the reference describes, out of the docstrings."""

project, author = "verovolto", "the authors of verovolto"
version = release = verovolto.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme, html_title = "furo", "verovolto"
exclude_patterns = ["_build"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4
suppress_warnings = ["myst.header"]
default_role = "code"
add_module_names = False
autodoc_member_order = "bysource"
autodoc_default_options = {"exclude-members": "set_fit_request"}  # scikit-learn's, and full of its own links
autodoc_typehints = "none"
autodoc_class_signature = "separated"
napoleon_use_ivar = True
nitpick_ignore_regex = [(r"py:.*", r".*")]  # types of other packages: the site is built without a network
html_math_renderer = "mathml"  # browsers know it: no script, nothing that is fetched from elsewhere

OUTSIDE = re.compile(r"\[([^\]]*)\]\(((?:\.\./)+)([\w./-]+)(?:#[\w-]+)?\)")


def _whole(app: Any, name: str, source: list[str]) -> None:
    """Add to a page what only the site needs, and name files outside of it instead of linking to them."""
    depth = name.count("/")
    source[0] = source[0].replace("```mermaid", "```text")  # drawn in the repository; here without a script
    source[0] = OUTSIDE.sub(
        lambda found: found[0] if found[2].count("../") <= depth else f"{found[1]} (`{found[3]}`)", source[0]
    )
    if name == "index":
        source[0] += "".join(
            f"\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n" + "\n".join(pages) + "\n```\n"
            for caption, pages in ORDER.items()
        )
    elif name == "detectors/index":
        below = sorted(
            path.stem for path in Path(app.srcdir, "detectors").glob("*.md") if path.stem != "index"
        )
        source[0] += "\n```{toctree}\n:hidden:\n\n" + "\n".join(below) + "\n```\n"
    elif name == "api":
        source[0] += "".join(_reference(title, entries) for title, entries in REFERENCE.items())


def _reference(title: str, entries: tuple[str, ...]) -> str:
    blocks = [
        f".. auto{kind}:: {dotted}\n" + ("" if kind == "function" else "   :members:\n")
        for kind, dotted in (entry.split() for entry in entries)
    ]
    return f"\n## {title}\n\n```{{eval-rst}}\n" + "\n".join(blocks) + "```\n"


def _write_llms(app: Any, error: Exception | None) -> None:
    if error is None and app.builder.format == "html":
        Path(app.outdir, "llms.txt").write_text(llms_txt(Path(app.srcdir), ORDER), encoding="utf-8")


def _math(display: str) -> Any:
    """Puts a formula into a page as MathML."""

    def visit(page: Any, node: Any) -> None:
        page.body.append(convert(node.astext(), display=display))
        raise SkipNode

    return visit, None


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.add_html_math_renderer("mathml", _math("inline"), _math("block"))
    app.connect("source-read", _whole)
    app.connect("build-finished", _write_llms)
