"""The page is whole: self-contained, escaped, with every figure, on synthetic and drawn input."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from verovolto.report import figures
from verovolto.report.evaluation_page import Latents, ReportData, build
from verovolto.report.html import CELL, Face, Gallery, Page, data_uri, pick, png, strips

RNG = np.random.default_rng(0)


def drawn_face(shade: int) -> Face:
    image = np.full((64, 48, 3), shade, np.uint8)
    image[20:30, 10:20] = 255 - shade
    return Face(
        image=image, reconstruction=image[::-1], error=RNG.random((32, 32)), caption=f"real · {shade}"
    )


@pytest.fixture
def subject(judge: Callable[..., Any]) -> ReportData:
    metrics, scores, fake = judge(1.0, rows=True)
    gallery = Gallery(
        name="best", title="Best", text="where it works", faces=[drawn_face(40), drawn_face(200)]
    )
    return ReportData(
        title="drawn <faces>",
        metrics=metrics,
        scores=scores,
        fake=fake,
        command="verovolto evaluate 'a b' --data x",
        notice="This is a demonstration.",
        galleries=[gallery],
        latents=Latents(means=RNG.normal(size=(24, 6)), fake=np.arange(24) % 2 == 0, kl=RNG.random((24, 6))),
        training={
            "epoch": np.array([0.0, 0, 1, 1]),
            "train_loss": np.array([3.0, np.nan, 2, np.nan]),
            "val_loss": np.array([np.nan, 3.5, np.nan, 2.5]),
            "val_rmse": np.array([np.nan, 0.5, np.nan, 0.4]),
        },
    )


EVERYTHING = {
    "histogram", "auroc", "roc", "precision_recall", "f1", "calibration", "sharpness", "tsne", "latent_use",
    "training", "gallery_best",
}  # fmt: skip


def test_a_full_report(subject: ReportData, tmp_path: Path) -> None:
    page = build(subject)
    assert set(page.figures) == EVERYTHING
    report = page.write(tmp_path / "out")
    html = report.read_text()
    assert {path.stem for path in (tmp_path / "out" / "figures").iterdir()} == EVERYTHING
    assert re.findall(r'(?:src|href)="(?!data:image/png;base64,|#)', html) == [], "nothing is fetched"
    assert "url(" not in html and "<script" not in html
    assert "drawn &lt;faces&gt;" in html and "d&lt;&amp;&gt;" in html
    assert "This is a demonstration." in html
    assert "verovolto evaluate &#39;a b&#39; --data x" in html
    for drawn in page.figures.values():
        assert Image.open(io.BytesIO(drawn)).size[0] > 100


def test_a_report_of_bare_scores(subject: ReportData) -> None:
    metrics = {**subject.metrics, "calibration": None, "baselines": {}, "other_scores": {}}
    bare = replace(subject, metrics=metrics, galleries=(), latents=None, training=None, notice=None)
    page = build(bare)
    assert set(page.figures) == {"histogram", "roc", "precision_recall", "f1"}
    assert "demonstration" not in page.html and 'id="faces"' not in page.html
    assert "no threshold here promises a false-alarm rate" in page.html


def test_groups_and_video_level_are_shown(subject: ReportData) -> None:
    one = {"faces": {"real": 9, "fake": 7}, "auroc": {"value": 0.7, "low": None, "high": None}}
    one |= {"ap_fake": one["auroc"], "eer": one["auroc"]}
    levels = {
        "videos": 4,
        "frames": 16,
        "frames_per_video": 4.0,
        "note": "a video's score is a mean",
        "video": one,
    }
    html = build(
        replace(subject, metrics={**subject.metrics, "by_method": {"swap": one}, "levels": levels})
    ).html
    assert "By forgery method" in html and "<td>swap</td>" in html
    assert "By video: AUROC 0.700" in html


def test_the_same_input_draws_the_same_bytes(subject: ReportData) -> None:
    assert build(subject) == build(subject)


def test_hidden_faces_cannot_be_recognised(subject: ReportData) -> None:
    (gallery,) = subject.galleries
    noisy = replace(gallery.faces[0], image=RNG.integers(0, 255, (64, 64, 3), dtype=np.uint8))
    (card,) = strips(replace(gallery, faces=[noisy]), hide=True)
    assert card.shape == (3 * CELL, CELL, 3)
    assert len(np.unique(card[:CELL].reshape(-1, 3), axis=0)) <= 49, "7 x 7 tiles, no more"
    html = build(replace(subject, hide_faces=True)).html
    clear = build(subject).html
    assert "hidden behind a mosaic" in html and html != clear
    shown = [data_uri(png(strip)) for strip in strips(gallery)]
    assert all(one in clear and one not in html for one in shown)


def test_pick_takes_the_best_the_worst_and_the_confused() -> None:
    scores = np.array([0.1, 0.5, 0.9, 0.2, 0.6, 1.0])
    fake = np.array([False] * 3 + [True] * 3)
    best, worst, confused = pick(scores, fake, 0.55, each=1)
    assert best.rows.tolist() == [0, 5] and worst.rows.tolist() == [2, 3] and confused.rows.tolist() == [1, 4]
    assert len(pick(scores, fake, float("inf"), each=4)[2].rows) == 6


def test_odd_scores_are_drawn_too() -> None:
    fake = np.array([True, False] * 4)
    for scores in (np.ones(8), np.arange(8.0) * 1e9, np.array([0.0] * 7 + [1e300])):
        assert figures.histogram(scores, fake, name="s").startswith(b"\x89PNG")
        assert figures.f1_against_threshold(scores, fake, name="s").startswith(b"\x89PNG")
    assert figures.training_curves({"epoch": np.array([0.0]), "images_per_s": np.array([3.0])}) is None


def test_latent_use_counts_active_dimensions() -> None:
    means = np.stack([RNG.normal(size=200), np.zeros(200), 0.05 * RNG.normal(size=200)], axis=1)
    _, facts = figures.latent_use(means, np.full((200, 3), 0.5))
    assert facts == {"active": 1.0, "dimensions": 3.0, "kl": pytest.approx(1.5)}


def test_an_empty_page_writes_its_html_alone(tmp_path: Path) -> None:
    assert Page(html="<p>x</p>").write(tmp_path).read_text() == "<p>x</p>"
    assert not (tmp_path / "figures").exists()
