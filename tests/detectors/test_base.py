"""A detector on disk and in use: what goes in comes out, what was tampered with does not load."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.conftest import draw_face, full_disk, jpeg
from tests.detectors.conftest import make_detector
from verovolto import Detector
from verovolto.core.errors import DetectorError, InputError, UnreadableImage
from verovolto.data.face_batch import to_batch
from verovolto.detectors.io import JSON_NAME, WEIGHTS_NAME, digest_of
from verovolto.detectors.trivial.detector import TRIVIAL_SCORES, TrivialDetector
from verovolto.detectors.vae.detector import VAE_SCORES, VAEDetector


@pytest.fixture(scope="module")
def saved(detector: VAEDetector, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "detector"
    detector.save(folder)
    return folder


@pytest.fixture(scope="module")
def faces() -> list[Image.Image]:
    return [draw_face(i, size=40 + i) for i in range(7)]


@pytest.mark.parametrize(
    "options",
    [
        {"model": "oc-ae"},
        {"model": "oc-fakedect2", "second_encoder": "separate"},
        {"model": "resnet-ocvae1", "size": 32},
        {"model": "resnet-ocvae2", "size": 32, "bottleneck": "spatial"},
        {"model": "resnet-ocvae-latent", "size": 32, "bottleneck": "pooled"},
    ],
)
def test_every_model_comes_back_as_it_was(
    options: dict[str, Any], tmp_path: Path, faces: list[Image.Image]
) -> None:
    before = make_detector(**options)
    before.save(tmp_path)
    after = Detector.load(tmp_path)
    assert after.default_score == before.default_score and after.name == options["model"]
    assert after.thresholds == before.thresholds and after.metadata == before.metadata
    old, new = before.score(faces), after.score(faces)
    assert set(new.columns) == set(VAE_SCORES)
    for name in VAE_SCORES:
        assert torch.equal(old[name], new[name]), name
    assert np.array_equal(after.calibration["rmse"].values, before.calibration["rmse"].values)


def test_a_run_folder_loads_too(saved: Path) -> None:
    assert Detector.load(saved.parent).name == Detector.load(str(saved)).name


def test_scores_do_not_depend_on_batch_order_or_neighbours(
    detector: VAEDetector, faces: list[Image.Image]
) -> None:
    together = detector.score(faces).score
    torch.testing.assert_close(together, detector.score(faces, batch_size=2).score, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(together.flip(0), detector.score(faces[::-1]).score, rtol=1e-5, atol=1e-6)
    alone = torch.cat([detector.score(face).score for face in faces])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-6)
    assert torch.equal(together, detector.score(faces).score)


def test_every_kind_of_image_gives_the_same_score(detector: VAEDetector, tmp_path: Path) -> None:
    face = draw_face(3)
    path = tmp_path / "a face ü.png"
    face.save(path)
    array = np.array(face)
    tensor = torch.from_numpy(array).permute(2, 0, 1)
    want = detector.score(face).score
    for image in (path, str(path), array, tensor, tensor.float() / 255, [face], tensor[None], array[None]):
        assert torch.equal(detector.score(image).score, want)
    mixed = detector.score([path, face, array, tensor])
    assert len(mixed) == 4 and torch.equal(mixed.score, want.expand(4))


def test_p_values_come_from_the_calibration(detector: VAEDetector, faces: list[Image.Image]) -> None:
    got = detector.score(faces)
    cal = detector.calibration["rmse"].values
    want = [(1 + (cal >= s).sum()) / (len(cal) + 1) for s in got.score.double().numpy()]
    assert got.p_value is not None
    np.testing.assert_allclose(got.p_value, want)


@pytest.mark.parametrize(
    "image",
    [
        7, np.zeros((4, 4, 3)), torch.zeros(4, 4, 4), torch.full((3, 4, 4), 2.0),
        torch.zeros(3, 4, 4, dtype=torch.int64), [],
    ],
)  # fmt: skip
def test_what_is_no_image_is_refused(detector: VAEDetector, image: Any) -> None:
    with pytest.raises(InputError):
        detector.score([image] if not isinstance(image, list) else image)


def test_files_that_do_not_decode_are_named(detector: VAEDetector, tmp_path: Path) -> None:
    with pytest.raises(UnreadableImage, match=r"absent\.jpg"):
        detector.score(tmp_path / "absent.jpg")
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(jpeg(draw_face(1))[:300])
    with pytest.raises(UnreadableImage, match=r"cut\.jpg"):
        detector.score(cut)


def test_explain_shows_inputs_reconstructions_and_errors(
    detector: VAEDetector, faces: list[Image.Image]
) -> None:
    shown = detector.explain(faces)
    assert shown.inputs.shape == shown.reconstructions.shape == (7, 3, 16, 16)
    assert shown.inputs.min() >= 0 and shown.inputs.max() <= 1
    rmse = shown.anomaly_map.square().mean((1, 2)).sqrt()
    torch.testing.assert_close(rmse, detector.score(faces)["rmse"], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(shown.kl.sum(1), detector.score(faces)["kl"], rtol=1e-4, atol=1e-4)


def test_the_trivial_detector_is_a_detector(faces: list[Image.Image]) -> None:
    got = TrivialDetector().score(faces)
    assert set(got.columns) == set(TRIVIAL_SCORES) and got.p_value is None
    assert TrivialDetector().explain(faces) is None


def test_a_twin_changes_name_and_score_alone(detector: VAEDetector, faces: list[Image.Image]) -> None:
    twin = detector.rescored("oc-fakedect2", "latent")
    assert (twin.name, twin.default_score, twin.score_names[0]) == ("oc-fakedect2", "latent", "latent")
    assert torch.equal(twin.score(faces).score, detector.score(faces)["latent"])


def _tampered(saved: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "copy"
    shutil.copytree(saved, folder)
    return folder


def test_tampered_weights_are_refused(saved: Path, tmp_path: Path) -> None:
    folder = _tampered(saved, tmp_path)
    weights = bytearray((folder / WEIGHTS_NAME).read_bytes())
    weights[-5] ^= 1
    (folder / WEIGHTS_NAME).write_bytes(weights)
    with pytest.raises(DetectorError, match=r"model\.safetensors was changed"):
        Detector.load(folder)


def test_an_edited_description_is_refused(saved: Path, tmp_path: Path) -> None:
    folder = _tampered(saved, tmp_path)
    text = (folder / JSON_NAME).read_text().replace('"rmse"', '"mse"', 1)
    (folder / JSON_NAME).write_text(text)
    with pytest.raises(DetectorError, match="was changed"):
        Detector.load(folder)


def test_another_version_is_refused(saved: Path, tmp_path: Path) -> None:
    folder = _tampered(saved, tmp_path)
    description = json.loads((folder / JSON_NAME).read_text())
    description["schema_version"] = 99
    (folder / JSON_NAME).write_text(json.dumps(description))
    with pytest.raises(DetectorError, match="schema version 99"):
        Detector.load(folder)


def test_a_description_that_makes_no_sense_is_refused(saved: Path, tmp_path: Path) -> None:
    folder = _tampered(saved, tmp_path)
    description = json.loads((folder / JSON_NAME).read_text())
    description["architecture"]["size"] = 32
    del description["digest"]
    (folder / JSON_NAME).write_text(json.dumps(description | {"digest": digest_of(description)}))
    with pytest.raises(DetectorError, match="does not describe a detector"):
        Detector.load(folder)


@pytest.mark.parametrize("name", [JSON_NAME, WEIGHTS_NAME])
def test_a_missing_file_is_named(saved: Path, tmp_path: Path, name: str) -> None:
    folder = _tampered(saved, tmp_path)
    (folder / name).unlink()
    with pytest.raises(DetectorError, match=name.replace(".", r"\.")):
        Detector.load(folder)


def test_no_folder_at_all(tmp_path: Path) -> None:
    with pytest.raises(DetectorError, match="no such folder"):
        Detector.load(tmp_path / "nowhere")


def test_a_full_disk_leaves_the_old_detector(
    saved: Path, detector: VAEDetector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = _tampered(saved, tmp_path)
    before = (folder / WEIGHTS_NAME).read_bytes()

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("verovolto.core.files.os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        detector.save(folder)
    assert (folder / WEIGHTS_NAME).read_bytes() == before
    assert sorted(p.name for p in folder.iterdir()) == [JSON_NAME, WEIGHTS_NAME]
    assert Detector.load(folder).name == detector.name


def test_weights_on_a_full_disk_say_so(
    detector: VAEDetector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("verovolto.detectors.io.atomic_path", full_disk(tmp_path))
    with pytest.raises(OSError, match="No space left"):
        detector.save(tmp_path / "detector")


def test_whoever_may_read_one_file_of_a_detector_may_read_the_other(saved: Path) -> None:
    assert (saved / WEIGHTS_NAME).stat().st_mode == (saved / JSON_NAME).stat().st_mode


def test_a_pil_image_is_seen_as_the_file_that_holds_it(tmp_path: Path) -> None:
    face = draw_face(3, size=32)
    turned = Image.Exif()
    turned[0x0112] = 6
    face.save(tmp_path / "turned.png", exif=turned)
    deep = np.asarray(face)[..., 0].astype(np.uint16) * 257
    Image.fromarray(deep).save(tmp_path / "deep.png")
    face.convert("RGBA").save(tmp_path / "alpha.png")
    for file in sorted(tmp_path.iterdir()):
        from_file, from_pil = to_batch([file, Image.open(file)]).images
        assert torch.equal(from_file, from_pil), file.name


@pytest.mark.parametrize(
    "images",
    [
        None,
        3,
        b"bytes",
        [None],
        np.zeros((3, 8, 8), np.uint8),
        np.zeros((8, 8, 5), np.uint8),
        np.zeros((0, 8, 3), np.uint8),
        np.zeros((8, 8, 3), np.float32),
        torch.zeros(3, 0, 0),
        torch.zeros(1, 8, 8),
        torch.full((3, 8, 8), float("nan")),
    ],
    ids=lambda value: f"{type(value).__name__} {getattr(value, 'shape', value)}",
)
def test_what_cannot_be_an_image_is_refused(images: object) -> None:
    with pytest.raises(InputError, match="give"):
        to_batch(images)


def test_a_grey_array_with_a_channel_is_one_image() -> None:
    assert [tuple(image.shape) for image in to_batch(np.zeros((8, 9, 1), np.uint8)).images] == [(3, 8, 9)]


def test_a_device_that_is_not_here(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no device 'abacus'"):
        Detector.load(tmp_path, device="abacus")
