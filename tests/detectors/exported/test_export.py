"""An exported detector scores as its origin does, is a detector like any other, and is refused where it is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.conftest import Command, write_set
from tests.detectors.conftest import make_detector
from verovolto.core.errors import DetectorError, InputError
from verovolto.data.faceset import FaceSet
from verovolto.detectors.base import Detector, load_detector
from verovolto.detectors.exported import detector as exported
from verovolto.detectors.exported.export import HeldOut, export, joined, largest_differences
from verovolto.detectors.trivial.detector import TrivialDetector
from verovolto.detectors.vae.detector import VAEDetector

pytest.importorskip("onnxscript", reason="the extra onnx-runtime is not installed")
FORMATS = list(exported.RUNTIMES)


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> FaceSet:
    return FaceSet.open(write_set(tmp_path_factory.mktemp("faces"), train=4, people=24)).select(split="val")


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> VAEDetector:
    folder = tmp_path_factory.mktemp("origin") / "detector"
    make_detector("oc-fakedect2").save(folder)
    return Detector.load(folder)  # type: ignore[return-value]


@pytest.fixture(scope="module", params=FORMATS)
def folder(
    request: pytest.FixtureRequest,
    origin: VAEDetector,
    faces: FaceSet,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    pytest.importorskip(exported.RUNTIMES[request.param].package)
    out = tmp_path_factory.mktemp(request.param) / "exported"
    export(origin, out, HeldOut(faces=faces, seed=0, named="val", its_own=True), to=request.param)
    return out


def images(count: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randint(0, 256, (3, 20 + i, 18), generator=generator).to(torch.uint8) for i in range(count)]


def test_it_scores_as_its_origin(folder: Path, origin: VAEDetector) -> None:
    made = load_detector(folder)
    assert (made.name, made.score_names, made.default_score) == (
        origin.name, origin.score_names, origin.default_score,
    )  # fmt: skip
    shown = images(5)
    for name, values in made.score(shown).columns.items():
        torch.testing.assert_close(values, origin.score(shown).columns[name], rtol=1e-4, atol=1e-5)
    alone = torch.cat([made.score([image])[made.default_score] for image in shown])
    torch.testing.assert_close(alone, made.score(shown, batch_size=3).score, rtol=1e-5, atol=1e-6)
    where, known = made.explain(shown), origin.explain(shown)
    assert where is not None and where.reconstructions is None
    torch.testing.assert_close(where.anomaly_map, known.anomaly_map, rtol=1e-3, atol=1e-4)


def test_it_is_calibrated_on_its_own_scores(folder: Path, faces: FaceSet) -> None:
    made = load_detector(folder)
    reals = faces.select(label="real")
    scores = np.sort(made.score([reals.image(row) for row in range(len(reals))]).score.numpy())
    np.testing.assert_allclose(made.calibration[made.default_score].values, scores, rtol=1e-5)
    assert made.metadata["calibrated_on"]["real"] == len(reals) and made.thresholds and made.domain.ranges


def test_it_says_what_it_is(folder: Path) -> None:
    record = load_detector(folder).record  # type: ignore[attr-defined]
    assert record["precision"] == "float32" and record["version"] and record["torch"] == torch.__version__
    assert record["processor"]["machine"] and set(record["processor"]) == {"machine", "flags"}
    assert len(record["of"]["digest"]) == 64 and record["of"]["kind"] == "vae"
    assert max(record["largest_difference"].values()) <= record["tolerance"] == 1e-3


def test_it_can_be_saved_elsewhere(folder: Path, tmp_path: Path) -> None:
    made = load_detector(folder)
    made.save(tmp_path / "copy")
    again = load_detector(tmp_path / "copy")
    assert torch.equal(again.score(images(2)).score, made.score(images(2)).score)
    assert sorted(p.name for p in folder.iterdir()) == sorted(p.name for p in (tmp_path / "copy").iterdir())


def test_a_changed_network_is_refused(folder: Path, tmp_path: Path) -> None:
    made = load_detector(folder)
    made.save(tmp_path / "copy")
    file = tmp_path / "copy" / sorted(made.files)[0]  # type: ignore[attr-defined]
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(DetectorError, match="changed"):
        load_detector(tmp_path / "copy")
    file.unlink()
    with pytest.raises(DetectorError, match="missing"):
        load_detector(tmp_path / "copy")


def test_it_runs_on_the_cpu_alone(folder: Path) -> None:
    made = load_detector(folder)
    made.device = torch.device("meta")
    with pytest.raises(InputError, match="CPU"):
        made.__post_init__()  # type: ignore[attr-defined]


@pytest.mark.parametrize("to", FORMATS)
def test_scores_that_differ_are_refused(
    to: str, origin: VAEDetector, faces: FaceSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip(exported.RUNTIMES[to].package)

    class Other(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return x.flatten(1)[:, : len(origin.score_names)], x[:, 0]

    monkeypatch.setattr(VAEDetector, "score_network", lambda self: Other())
    with pytest.raises(DetectorError, match=r"tolerance is 0\.001"):
        export(origin, tmp_path / "out", HeldOut(faces=faces, seed=0, named="val", its_own=True), to=to)
    assert list(tmp_path.iterdir()) == []


def test_what_has_no_place_in_a_graph_is_refused(faces: FaceSet, origin: VAEDetector, tmp_path: Path) -> None:
    held_out = HeldOut(faces=faces, seed=0, named="val", its_own=True)
    with pytest.raises(InputError, match=r"trivial.*cannot be exported"):
        export(TrivialDetector(), tmp_path / "out", held_out, to="onnx")
    with pytest.raises(InputError, match="there is no format 'tflite'"):
        export(origin, tmp_path / "out", held_out, to="tflite")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a").touch()
    with pytest.raises(InputError, match="not empty"):
        export(origin, tmp_path / "full", held_out, to="onnx")


def test_a_runtime_that_is_missing_is_named(
    faces: FaceSet, origin: VAEDetector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exported.OnnxRuntime, "package", "no_such_package")
    with pytest.raises(InputError, match="no_such_package") as raised:
        export(origin, tmp_path / "out", HeldOut(faces=faces, seed=0, named="val", its_own=True), to="onnx")
    assert "onnx-runtime" in str(raised.value)


def test_differences_are_relative_where_scores_are_large(faces: FaceSet, origin: VAEDetector) -> None:
    class Shifted(VAEDetector):
        def score_batch(self, batch: object, *, anomaly_map: bool = False) -> object:  # type: ignore[override]
            found = super().score_batch(batch, anomaly_map=anomaly_map)  # type: ignore[arg-type]
            return type(found)(columns={k: v * 1.01 for k, v in found.columns.items()}, default=found.default)

    other = Shifted(**{name: getattr(origin, name) for name in ("architecture", "model", "preprocessing")},
                    default_score=origin.default_score)  # fmt: skip
    found = largest_differences(origin, other, faces.take(range(8)))
    assert found["elbo"] == pytest.approx(0.01, rel=0.05) and 0 < found["rmse"] < 0.02


def test_splits_are_used_where_there_are_any(faces: FaceSet) -> None:
    assert len(joined([faces], "val")) == len(joined([faces], "no such split")) == len(faces)


def test_the_command_takes_the_faces_of_the_run(tmp_path: Path, command_line: Command) -> None:
    pytest.importorskip("onnxruntime")
    data = write_set(tmp_path / "faces", train=12, people=40)
    run, out = tmp_path / "run", tmp_path / "exported"
    words = ("--model", "oc-fakedect1", "--vae.size", "16", "--epochs", "1", "--threads", "1")
    assert command_line("train", "--data", data, "--out", run, *words)[0] == 0
    for given, clusters in (((run,), 20), ((run / "detector", "--reals", data), 40)):
        code, said, _ = command_line("export", *given, "--format", "onnx", "--out", out)
        assert code == 0 and "largest difference over" in said
        assert load_detector(out).calibration["rmse"].clusters == clusters
        out = tmp_path / "again"
    code, _, error = command_line("export", run / "detector", "--format", "onnx", "--out", tmp_path / "no")
    assert code == 2 and "--reals" in error


@pytest.mark.slow
@pytest.mark.parametrize(
    "model", ["region-discriminant", "mahalanobis", "padim", "patchcore", "resnet-ocvae2"]
)
def test_methods_that_can_be_exported(model: str, tmp_path: Path) -> None:
    """With their own backbones; PatchCore says that it cannot."""
    pytest.importorskip("onnxruntime")
    from verovolto.training.fit import fit

    data = write_set(tmp_path / "faces", train=24, people=12)
    small = {"region-discriminant": {"forgeries": 24, "size": 64}, "padim": {"channels": 4},
             "patchcore": {"memory": 16}, "resnet-ocvae2": {"size": 32, "epochs": 1}}.get(model, {})  # fmt: skip
    detector = fit(model, data, tmp_path / "run", workers=0, **small)
    val = FaceSet.open(data).select(split="val")
    held_out = HeldOut(faces=val, seed=0, named="val", its_own=True)
    if model == "patchcore":
        with pytest.raises(InputError, match="patchcore cannot be exported"):
            export(detector, tmp_path / "out", held_out, to="onnx")
        return
    export(detector, tmp_path / "out", held_out, to="onnx")
    shown = [val.image(row) for row in range(3)]
    found, known = load_detector(tmp_path / "out").score(shown), detector.score(shown)
    torch.testing.assert_close(found.score, known.score, rtol=1e-3, atol=1e-3)
