"""`verovolto train --model error-typicality --from` and `verovolto fuse`, from faces to a scan."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import kstest

from tests.conftest import Command, draw_face, jpeg
from tests.detectors.conftest import make_detector
from tests.faces.bright import RULE, BrightSquares
from tests.scanning.drawn import film, walk
from verovolto import Detector
from verovolto.core.errors import DetectorError, InputError
from verovolto.data.crop_rule import TIGHT, WIDE, Look
from verovolto.data.face_batch import to_batch
from verovolto.data.faceset import FaceSet
from verovolto.data.score_table import ScoreTable
from verovolto.data.splits import halve
from verovolto.detectors.calibrate import calibrated
from verovolto.detectors.fusion.detector import FusedDetector, check_parts, reference_scores
from verovolto.detectors.io import JSON_NAME
from verovolto.detectors.vae.detector import VAEDetector
from verovolto.experimental.error_typicality.detector import VALUES, TypicalityDetector

PEOPLE = 130


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Enough validation faces to learn the density of some fifty numbers from: two reals a person, some fakes."""
    folder = tmp_path_factory.mktemp("faces")
    rows = []
    for i in range(2 * PEOPLE + 80):
        split = "train" if i < 4 else "val" if i < 2 * PEOPLE + 4 else "test"
        label = "fake" if split != "train" and i % 7 == 0 else "real"
        (folder / f"{i}.jpg").write_bytes(jpeg(draw_face(i, size=48, smooth=label == "fake")))
        rows.append([f"{i}.jpg", label, split, f"video{i}", f"{split}{i // 2}"])
    with (folder / "manifest.csv").open("w", newline="") as handle:
        csv.writer(handle).writerows([["path", "label", "split", "source_video", "identity"], *rows])
    return folder


def finished(data: Path, out: Path, model: str = "oc-fakedect1", **metadata: object) -> Path:
    """A run as `verovolto train` leaves it, but for the training."""
    faces = FaceSet.open(data)
    detector = make_detector(model, size=32)
    detector.metadata = {
        "trained_on": {"name": "drawn", "faces": 4, "split": "train", "fingerprint": faces.fingerprint()},
        "chosen_on": {"split": "val/choose", "faces": 100},
        "seed": 0,
        **metadata,
    }
    val = faces.select(split="val")
    rest = val.take(np.flatnonzero(~halve(val.columns(), seed=0)))
    calibrated(detector, rest, seed=int(str(detector.metadata["seed"]))).save(out / "detector")
    return out


@pytest.fixture(scope="module")
def vae(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished(data, tmp_path_factory.mktemp("vae") / "run")


@pytest.fixture(scope="module")
def typicality(data: Path, vae: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from verovolto.training.config import configure
    from verovolto.training.fit import derive

    out = tmp_path_factory.mktemp("typicality") / "run"
    return derive(configure(data=data, model="error-typicality", out=out), vae)


@pytest.fixture(scope="module")
def fused(data: Path, vae: Path, typicality: Path, tmp_path_factory: pytest.TempPathFactory) -> FusedDetector:
    from verovolto.commands.fuse import fuse

    out = tmp_path_factory.mktemp("fused") / "run"
    fuse(vae, typicality, data=data, out=out)
    detector = Detector.load(out)
    assert isinstance(detector, FusedDetector)
    return detector


@pytest.fixture(scope="module")
def faces() -> list[Image.Image]:
    return [draw_face(900 + i, size=40 + i, smooth=i % 2 == 0) for i in range(6)]


@pytest.fixture(scope="module")
def wide_data(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wide") / "faces"
    shutil.copytree(data, folder)
    (folder / "faceset.json").write_text(json.dumps({"crop_rule": WIDE.to_dict()}))
    return folder


@pytest.fixture(scope="module")
def looks(wide_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    place = tmp_path_factory.mktemp("looks")
    found = []
    for rule, model in ((TIGHT, "oc-fakedect1"), (WIDE, "oc-ae")):
        run = finished(wide_data, place / model, model)
        detector = Detector.load(run)
        assert detector.preprocessing is not None
        detector.preprocessing = replace(detector.preprocessing, crop_rule=rule.to_dict())
        detector.save(run / "detector")
        found.append(run)
    return found[0], found[1]


class TestTypicality:
    def test_the_folder_needs_no_other(
        self, typicality: Path, faces: list[Image.Image], tmp_path: Path
    ) -> None:
        shutil.copytree(typicality, tmp_path / "moved")
        one, other = Detector.load(typicality), Detector.load(tmp_path / "moved")
        assert isinstance(one, TypicalityDetector) and one.name == "error-typicality"
        assert torch.equal(one.score(faces).score, other.score(faces).score)
        other.save(tmp_path / "again")  # type: ignore[attr-defined]
        assert torch.equal(Detector.load(tmp_path / "again").score(faces).score, one.score(faces).score)
        assert (
            one.metadata["fitted_on"]["split"] == "val/choose"
            and one.metadata["network_of"] == "oc-fakedect1"
        )

    def test_scores_do_not_depend_on_the_batch(self, typicality: Path, faces: list[Image.Image]) -> None:
        detector = Detector.load(typicality)
        together = detector.score(faces).score
        torch.testing.assert_close(together, detector.score(faces, batch_size=1).score, rtol=1e-4, atol=1e-3)

    def test_faces_fitted_to_are_kept_as_new_ones_would_score(self, data: Path, typicality: Path) -> None:
        """In its own eyes they are too typical; the scores set aside are spread as those calibrated on."""
        detector = Detector.load(typicality)
        assert isinstance(detector, TypicalityDetector)
        val = FaceSet.open(data).select(split="val")
        chosen = val.take(np.flatnonzero(halve(val.columns(), seed=0))).select(label="real")
        own = detector.score([chosen.image(i) for i in range(len(chosen))]).score.numpy()
        new = detector.calibration["typicality"].values
        held_out = detector.held_out
        assert len(held_out) == len(chosen) and np.median(own) < np.median(held_out)
        assert abs(np.median(held_out) - np.median(new)) < abs(np.median(own) - np.median(new))

    def test_what_an_auto_encoder_lacks_is_left_out(self, data: Path, tmp_path: Path) -> None:
        from verovolto.training.config import configure
        from verovolto.training.fit import derive

        config = configure(
            data=data, model="error-typicality", out=tmp_path / "run", density="mixture", crop_rule="tight"
        )
        detector = Detector.load(derive(config, finished(data, tmp_path / "ae", "oc-ae")))
        assert isinstance(detector, TypicalityDetector)
        assert [name for name, kept in zip(VALUES, detector.typicality.kept, strict=True) if not kept] == [
            "KL"
        ]
        assert len(detector.typicality.density.weights) == 2 and detector.crop_rule == TIGHT.to_dict()

    def test_too_few_faces(self, face_set: Path, tmp_path: Path) -> None:
        from verovolto.training.config import configure
        from verovolto.training.fit import derive

        config = configure(data=face_set, model="error-typicality", out=tmp_path / "run")
        with pytest.raises(InputError, match=r"real faces of the half `choose` are too few .* 97 at least"):
            derive(config, finished(face_set, tmp_path / "vae"))

    def test_by_the_command_line(self, command_line: Command, data: Path, vae: Path, tmp_path: Path) -> None:
        words = ("train", "--model", "error-typicality", "--data", data, "--out", tmp_path / "run")
        code, out, err = command_line(*words, "--from", vae)
        assert code == 0, err
        assert "a density fitted to the errors of" in out and "next: verovolto evaluate" in out
        code, _, err = command_line(*words, "--from", vae)
        assert code == 2 and "is not empty" in err
        for more, match in (
            ((), "is made of a finished VAE"),
            (("--from", vae, "--seed", 3), "by seed 0, not those of val by seed 3"),
            (("--from", tmp_path / "run"), "cannot be made of the error-typicality"),
        ):
            code, _, err = command_line(*words[:-1], tmp_path / "other", *more)
            assert code == 2 and match in err, err


class TestFusion:
    def test_what_is_saved_is_loaded(
        self, fused: FusedDetector, faces: list[Image.Image], tmp_path: Path
    ) -> None:
        fused.save(tmp_path)
        again = Detector.load(tmp_path)
        assert again.score_names == ("fused", "part0-oc-fakedect1", "part1-error-typicality")
        for name in again.score_names:
            assert torch.equal(again.score(faces)[name], fused.score(faces)[name])
        assert sorted(p.name for p in tmp_path.iterdir()) == [JSON_NAME, "model.safetensors", "parts"]
        assert isinstance(Detector.load(tmp_path / "parts/0"), VAEDetector)

    def test_another_part_than_the_one_fused_is_refused(self, fused: FusedDetector, tmp_path: Path) -> None:
        fused.save(tmp_path / "one")
        make_detector(size=32).save(tmp_path / "one/parts/0")
        with pytest.raises(DetectorError, match=r"parts/0 is another detector"):
            Detector.load(tmp_path / "one")
        shutil.rmtree(tmp_path / "one/parts/1")
        fused.save(tmp_path / "two")
        shutil.rmtree(tmp_path / "two/parts/1")
        with pytest.raises(DetectorError, match=r"no detector in .*parts/1"):
            Detector.load(tmp_path / "two")

    def test_scores_do_not_depend_on_the_batch(self, fused: FusedDetector, faces: list[Image.Image]) -> None:
        together = fused.score(faces).score
        torch.testing.assert_close(together, fused.score(faces, batch_size=1).score, rtol=1e-4, atol=1e-3)

    def test_p_values_of_new_reals_are_uniform(self, data: Path, fused: FusedDetector) -> None:
        test = FaceSet.open(data).select(split="test", label="real")
        p = fused.score([test.image(i) for i in range(len(test))]).p_value
        assert p is not None and kstest(p, "uniform").pvalue > 0.01

    def test_no_fake_changes_it(self, data: Path, vae: Path, tmp_path: Path) -> None:
        """The fakes of the validation people have no say in densities, references and calibrations."""
        from verovolto.commands.fuse import fuse
        from verovolto.training.config import configure
        from verovolto.training.fit import derive

        others = tmp_path / "others"
        shutil.copytree(data, others)
        with (data / "manifest.csv").open() as source:
            for path in (row[0] for row in csv.reader(source) if row[1:3] == ["fake", "val"]):
                (others / path).write_bytes(jpeg(Image.new("RGB", (48, 48), "red")))
        found = []
        for folder in (data, others):
            out = tmp_path / f"of {folder.name}"
            config = configure(data=folder, model="error-typicality", out=out / "typicality")
            fuse(vae, derive(config, vae), data=folder, out=out / "fused", rule="stouffer", seed=0)
            found.append(Detector.load(out / "fused"))
        one, other = found
        assert isinstance(one, FusedDetector) and isinstance(other, FusedDetector)
        # To rounding: where arrays lie in memory decides the last digits of some libraries' products.
        for a, b in zip(one.references, other.references, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-8)
        np.testing.assert_allclose(
            one.calibration["fused"].values, other.calibration["fused"].values, rtol=1e-8
        )

    @pytest.mark.parametrize("rule", ["fisher", "stouffer", "min", "cauchy"])
    def test_a_detector_with_itself_ranks_as_itself(self, vae: Path, data: Path, rule: str) -> None:
        part = Detector.load(vae)
        assert isinstance(part, VAEDetector)
        reference = part.calibration["rmse"].values
        twice = FusedDetector(
            detectors=[part, part],
            references=[reference, reference],
            rule=rule,  # type: ignore[arg-type]
        )
        test = FaceSet.open(data).select(split="test")
        images = [test.image(i) for i in range(len(test))]
        alone, fused = part.score(images).score.numpy(), twice.score(images).score.numpy()
        assert (np.argsort(alone, kind="stable") == np.argsort(fused, kind="stable")).all()

    def test_the_anomaly_map_is_that_of_the_parts_that_have_one(
        self, fused: FusedDetector, faces: list[Image.Image]
    ) -> None:
        scores = fused.score_batch(to_batch(faces), anomaly_map=True)
        assert (
            scores.anomaly_map is not None
            and scores.anomaly_map.shape == (6, 32, 32)
            and (scores.anomaly_map >= 0).all()
        )
        of_part = fused.detectors[0].score_batch(to_batch(faces), anomaly_map=True).anomaly_map
        assert of_part is not None
        for one, own in zip(scores.anomaly_map, of_part, strict=True):
            torch.testing.assert_close(one / one.sum(), own / own.sum())
        explained = fused.explain(faces)
        assert explained is not None and explained.inputs.shape == (6, 3, 32, 32)
        torch.testing.assert_close(explained.anomaly_map, scores.anomaly_map)
        silent = FusedDetector(detectors=[fused.detectors[1]] * 2, references=[fused.references[1]] * 2)
        assert (
            silent.score_batch(to_batch(faces), anomaly_map=True).anomaly_map is None
            and silent.explain(faces) is None
        )

    def test_a_drawn_film_is_scanned(
        self, fused: FusedDetector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("verovolto.scanning.run.open_detector", lambda name: BrightSquares())
        (tmp_path / "rule.json").write_text(json.dumps(RULE.to_dict()))
        clip = film(tmp_path / "a clip.mp4", walk(6, level=250))
        found = fused.scan(clip, fps=None, false_alarm=0.1, crop=str(tmp_path / "rule.json"), pictures=True)
        assert found.to_dict()["detector"]["name"] == "fusion" and len(found.files) == 1
        assert found.files[0].verdict in ("suspect", "no sign found", "cannot tell")


class TestLooks:
    """Parts that look at different crops of one face: a tight one, and the wide one that it is cut from."""

    def test_each_part_sees_its_own_look(
        self, command_line: Command, looks: tuple[Path, Path], wide_data: Path, tmp_path: Path
    ) -> None:
        code, out, err = command_line(
            "fuse",
            *looks,
            "--data",
            wide_data,
            "--out",
            tmp_path / "run",
            "--rule",
            "stouffer",
            "--weights",
            1,
            3,
        )
        assert code == 0 and "look at 0.86 and 1.3 x the face's box, weighted 1 : 3" in out, err + out
        fused = Detector.load(tmp_path / "run")
        assert isinstance(fused, FusedDetector) and fused.crop_rule == WIDE.to_dict()
        faces = FaceSet.open(wide_data).select(split="test").take(range(6))
        images = [faces.image(i) for i in range(6)]
        scores = fused.score(images, batch_size=6)
        cut = faces.seen_by(TIGHT.to_dict())
        tight, wide = (Detector.load(run) for run in looks)
        torch.testing.assert_close(
            scores["part0-oc-fakedect1"], tight.score([cut.image(i) for i in range(6)]).score
        )
        torch.testing.assert_close(scores["part1-oc-ae"], wide.score(images).score)
        heavier, _ = fused._combined([scores["part0-oc-fakedect1"], scores["part1-oc-ae"]])
        np.testing.assert_allclose(scores.score.numpy(), heavier, rtol=1e-5)
        explained = fused.explain(images)
        assert explained is not None and torch.equal(
            explained.inputs,
            wide.explain(images).inputs,  # type: ignore[union-attr]
        )

    def test_a_wide_set_is_evaluated_by_a_tight_detector(
        self, command_line: Command, looks: tuple[Path, Path], wide_data: Path, tmp_path: Path
    ) -> None:
        code, _, err = command_line(
            "evaluate",
            looks[0],
            "--data",
            wide_data,
            "--split",
            "test",
            "--out",
            tmp_path / "test",
            "--resamples",
            20,
        )
        assert code == 0, err
        faces = FaceSet.open(wide_data).select(split="test")
        cut = faces.seen_by(TIGHT.to_dict())
        expected = Detector.load(looks[0]).score([cut.image(i) for i in range(len(cut))]).score.numpy()
        np.testing.assert_allclose(
            ScoreTable.read(tmp_path / "test/scores.parquet").values("rmse"), expected, rtol=1e-4
        )

    def test_the_map_of_a_look_lies_where_it_was_cut(self, looks: tuple[Path, Path], data: Path) -> None:
        tight, wide = (Detector.load(run) for run in looks)
        values = [part.calibration[part.default_score].values for part in (tight, wide)]
        silent = replace_maps(wide)
        fused = FusedDetector(detectors=[tight, silent], references=values)
        image = FaceSet.open(data).image(0)
        found = fused.score_batch(to_batch([image]), anomaly_map=True).anomaly_map
        assert found is not None
        side = found.shape[-1]
        x0, y0, x1, y1 = Look.within(WIDE, TIGHT).box(side)
        around = found.clone()
        around[:, y0:y1, x0:x1] = 0
        assert side == round(32 * 1.3 / 0.86) and found.sum() > 0 and around.sum() == 0

    @pytest.mark.parametrize("weights", [(1.0,), (1.0, 0.0), (1.0, float("nan"))])
    def test_weights_that_are_none(self, looks: tuple[Path, Path], weights: tuple[float, ...]) -> None:
        parts = [Detector.load(run) for run in looks]
        with pytest.raises(InputError, match="are none for 2 parts"):
            FusedDetector(detectors=parts, references=[np.arange(9.0)] * 2, weights=weights)


def replace_maps(detector: Detector) -> Detector:
    """The detector without anomaly maps."""
    score_batch = detector.score_batch
    detector.score_batch = lambda batch, anomaly_map=False: score_batch(batch)  # type: ignore[method-assign]
    return detector


class TestRefusals:
    def test_too_few_faces(self, face_set: Path, tmp_path: Path) -> None:
        from verovolto.training.config import configure
        from verovolto.training.fit import derive

        config = configure(data=face_set, model="error-typicality", out=tmp_path / "run")
        with pytest.raises(InputError, match=r"real faces of the half `choose` are too few .* 97 at least"):
            derive(config, finished(face_set, tmp_path / "vae"))

    def test_by_the_command_line(
        self, command_line: Command, data: Path, vae: Path, typicality: Path, tmp_path: Path
    ) -> None:
        words = ("fuse", vae, typicality, "--data", data, "--out", tmp_path / "run", "--rule", "cauchy")
        code, out, err = command_line(*words)
        assert code == 0, err
        assert "cauchy of 2 detectors" in out and "next: verovolto evaluate" in out
        command = (
            "evaluate",
            tmp_path / "run",
            "--data",
            data,
            "--out",
            tmp_path / "test",
            "--resamples",
            20,
        )
        code, _, err = command_line(*command)
        assert code == 0 and "flatter" not in err, err
        code, _, err = command_line(*command, "--split", "val")
        assert code == 0 and "flatter" in err, err
        for wrong, match in (
            (words, "is not empty"),
            (("fuse", vae, "--data", data, "--out", tmp_path / "b"), "1 detector cannot be fused"),
            ((*words[:5], "--out", tmp_path / "b", "--rule", "mean"), "mean"),
            ((*words[:5], "--out", tmp_path / "b", "--seed", 5), "by seed 0, not 5"),
        ):
            code, _, err = command_line(*wrong)
            assert code == 2 and match in err, err

    def test_parts_that_cut_the_people_differently(self, data: Path, vae: Path, tmp_path: Path) -> None:
        from verovolto.commands.fuse import fuse

        other = finished(data, tmp_path / "other", seed=7)
        with pytest.raises(InputError, match="cut the validation people differently"):
            fuse(vae, other, data=data, out=tmp_path / "run")

    def test_a_part_that_was_trained_on_the_faces_to_calibrate_on(
        self, data: Path, vae: Path, tmp_path: Path
    ) -> None:
        from verovolto.commands.fuse import fuse

        faces = FaceSet.open(data)
        trained = {"name": "drawn", "faces": 4, "split": "val", "fingerprint": faces.fingerprint()}
        other = finished(data, tmp_path / "other", trained_on=trained)
        with pytest.raises(InputError, match="was trained on the split val"):
            fuse(vae, other, data=data, out=tmp_path / "run")

    def test_parts_that_want_other_crops(self) -> None:
        one, other, unknown = (make_detector(size=32) for _ in range(3))
        for part, scale in ((one, 1.0), (other, 1.3)):
            rule = {**TIGHT.to_dict(), "scale": scale}
            part.preprocessing = type(part.preprocessing)(
                size=32, mean=part.preprocessing.mean, std=part.preprocessing.std, crop_rule=rule
            )
        with pytest.raises(InputError, match="no crop suits both"):
            check_parts([one, unknown, other])
        check_parts([one, unknown])

    def test_faces_that_it_was_fitted_to_elsewhere_are_no_reference(
        self, data: Path, vae: Path, typicality: Path
    ) -> None:
        detector = Detector.load(typicality)
        assert isinstance(detector, TypicalityDetector)
        faces = FaceSet.open(data)
        some = faces.select(split="test", label="real").take(np.arange(10))
        own = reference_scores(detector, some, faces.fingerprint())
        np.testing.assert_array_equal(own, detector.held_out)
        others = reference_scores(detector, some, "of another set")
        assert len(others) == 10 and not np.isin(others, own).any()
