"""The thesis's figures of one model under one protocol, as PNG files in the folder of the step."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from verovolto.thesis.networks import run_folder, scores
from verovolto.thesis.plan import Plan, Protocol, network_of

if TYPE_CHECKING:
    import numpy as np

    from verovolto.core.workdir import Done
    from verovolto.data.faceset import FaceSet
    from verovolto.data.score_table import ScoreTable
    from verovolto.detectors.vae.detector import VAEDetector

EACH = 10
"""Faces of either class in the galleries, as in the thesis."""
_SPECTRA_EACH = 3
_SPECTRA_FACES = 300  # of either class at most half: means of more look the same


def draw(
    plan: Plan,
    protocol: Protocol,
    model: str,
    data: Path,
    chosen: Done,
    table: Done,
    scored: dict[int, Done],
    folder: Path,
) -> dict[str, Any]:
    """Draw everything; returns the names of the figures and what is known of the latents."""
    import numpy as np

    from verovolto.core.files import atomic_path
    from verovolto.data.faceset import FaceSet
    from verovolto.evaluation.groups import scored_rows
    from verovolto.report.network_diagrams import diagram
    from verovolto.thesis.checkpoints import checkpoint_detector

    epoch, score = chosen.result["epoch"], chosen.result["score"]
    test = scores(scored[epoch].folder, "test")
    detector = checkpoint_detector(run_folder(plan, protocol, network_of(model)), epoch)
    faces = FaceSet.open(data).select(split="test")
    rows = scored_rows(test, score)
    fake = test.strings("label")[rows] == "fake"
    values = test.values(score)[rows]
    rng = np.random.default_rng(plan.seed)
    drawn = np.concatenate([rng.permutation(np.flatnonzero(fake == kind))[:EACH] for kind in (False, True)])
    pictures = _of_scores(scored, chosen, table, scores(scored[epoch].folder, "val"))
    latent, facts = _of_latents(detector, faces, rows, fake, plan.seed)
    pictures |= latent | _galleries(plan, detector, faces, drawn, rows, values, fake)
    cube = bool(plan.kept(protocol, "3d-spectrum"))
    pictures |= _of_spectra(plan, detector, faces, test, rows, drawn, cube=cube)
    pictures["network"] = diagram(detector.architecture)
    for name, png in pictures.items():
        with atomic_path(folder / f"{name}.png") as part:
            part.write_bytes(png)
    return {"figures": sorted(pictures), "latents": facts}


def _of_scores(scored: dict[int, Done], chosen: Done, table: Done, val: ScoreTable) -> dict[str, bytes]:
    """Histograms and curves of every checkpoint, and F1 against the threshold on the validation faces."""
    from verovolto.report.figures import f1_against_threshold
    from verovolto.thesis.protocols import labels_of
    from verovolto.thesis.report.figures import Checkpoint, checkpoint_histograms, checkpoint_precision_recall

    score, epoch = chosen.result["score"], chosen.result["epoch"]
    checkpoints = []
    for number, done in scored.items():
        values, fake = labels_of(scores(done.folder, "test"), score)
        checkpoints.append(Checkpoint(epoch=number, scores=values, fake=fake))
    lines = {
        row["threshold"]["name"]: float(row["threshold"]["value"])
        for row in table.result["rows"]
        if row["score"] == score
    }
    values, fake = labels_of(val, score)
    return {
        "histograms": checkpoint_histograms(checkpoints, name=score, chosen=epoch),
        "precision_recall": checkpoint_precision_recall(checkpoints, chosen=epoch),
        "f1": f1_against_threshold(values, fake, name=score, thresholds=lines),
    }


def _of_latents(
    detector: VAEDetector, faces: FaceSet, rows: np.ndarray, fake: np.ndarray, seed: int
) -> tuple[dict[str, bytes], dict[str, float] | None]:
    """t-SNE of the latent means, and what each dimension carries, which a round cloud does not say."""
    from verovolto.report.evaluation_page import latents_of
    from verovolto.report.figures import latent_use, tsne

    latents = latents_of(detector, faces, rows, fake, seed)
    if latents is None or len(latents.means) < 5:
        return {}, None
    use, facts = latent_use(latents.means, latents.kl)
    return {"tsne": tsne(latents.means, latents.fake, seed=seed), "latent_use": use}, facts


def _galleries(
    plan: Plan,
    detector: VAEDetector,
    faces: FaceSet,
    drawn: np.ndarray,
    rows: np.ndarray,
    values: np.ndarray,
    fake: np.ndarray,
) -> dict[str, bytes]:
    """Ten reals and ten fakes, drawn by the seed: input, reconstruction, error; one colour scale for both."""
    from verovolto.report.evaluation_page import galleries_of
    from verovolto.report.galleries import Pick, png, side_by_side, strips

    pick = Pick(name="drawn", title="Drawn by the seed", text="", rows=drawn)
    (gallery,) = galleries_of(detector, faces, [pick], rows, values, fake)
    cards = strips(gallery, hide=plan.no_faces)
    halves = {"real": [c for c, row in zip(cards, drawn, strict=True) if not fake[row]],
              "fake": [c for c, row in zip(cards, drawn, strict=True) if fake[row]]}  # fmt: skip
    return {f"faces_{label}": png(side_by_side(half)) for label, half in halves.items()}


def _of_spectra(
    plan: Plan,
    detector: VAEDetector,
    faces: FaceSet,
    test: ScoreTable,
    rows: np.ndarray,
    drawn: np.ndarray,
    *,
    cube: bool,
) -> dict[str, bytes]:
    """Spectra of single errors, in two dimensions and, as published, in three (`cube`); the means of both classes."""
    import numpy as np

    from verovolto.evaluation.bootstrap import draw_resamples
    from verovolto.evaluation.groups import clusters_of
    from verovolto.thesis.experiments.spectra.error_spectra import error_spectra
    from verovolto.thesis.experiments.spectra.error_statistics import mean_spectra
    from verovolto.thesis.experiments.spectra.figures import FaceSpectra, radial_spectra, spectrum_gallery

    label = test.strings("label")
    rng = np.random.default_rng([plan.seed, 3])
    some = [rng.permutation(rows[label[rows] == kind])[: _SPECTRA_FACES // 2] for kind in ("real", "fake")]
    shown = [rows[drawn[label[rows[drawn]] == kind][:_SPECTRA_EACH]] for kind in ("real", "fake")]
    chosen = np.unique(np.concatenate([*some, *shown]))
    places = np.searchsorted(chosen, np.concatenate(shown))
    spectra = error_spectra(detector, faces.take(chosen), pictures=places)
    kept = test.take(chosen[spectra.rows])
    fake = kept.strings("label") == "fake"
    clusters, kind = clusters_of(kept)
    resamples = draw_resamples(clusters, fake, kind=kind, resamples=plan.resamples, seed=plan.seed)
    captions = [str(label[row]) for row in np.concatenate(shown)]
    gallery = [
        FaceSpectra(amplitude=amplitude, log_power=planes, caption=caption)
        for amplitude, planes, caption in zip(spectra.amplitude, spectra.planes, captions, strict=True)
    ]
    return {
        "spectra": spectrum_gallery(gallery, cube=cube),
        "radial": radial_spectra(mean_spectra(spectra.frequency, spectra.radial, fake, resamples)),
    }
