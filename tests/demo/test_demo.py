"""The demonstration on drawn photographs, and the reading of the real ones where they are installed."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import av
import pytest
import torch
from PIL import Image
from torch import Tensor

from verovolto.commands.demo import demo
from verovolto.core.errors import InputError, WeightsError
from verovolto.core.workdir import lock
from verovolto.data.crop_rule import TIGHT
from verovolto.data.faceset import FaceSet
from verovolto.data.splits import check_disjoint, halve
from verovolto.demo import run as demo_module
from verovolto.demo.faces import Photo, build_set, divide, find_faces, load_photo, orl_photos
from verovolto.demo.run import FRAMES_EACH, Examples, run_demo, scan_examples, write_examples
from verovolto.faces.crop import crop
from verovolto.faces.detection.base import Face
from verovolto.synthesis.face_swap import METHOD

LANDMARKS = torch.tensor([[30.0, 40.0], [60.0, 40.0], [45.0, 56.0], [34.0, 72.0], [56.0, 72.0]])
PEOPLE, EACH = 26, 2


class KnownFaces:
    """A face detector for the drawn photographs, all of which show a face at the same place."""

    name, confidence = "known", 0.9

    def __init__(self) -> None:
        self.calls = 0

    def detect(self, image: Tensor) -> list[Face]:
        self.calls += 1
        return [Face(box=(12.0, 12.0, 80.0, 98.0), score=0.99, landmarks=LANDMARKS)]


class NoFaces(KnownFaces):
    name = "none"

    def detect(self, image: Tensor) -> list[Face]:
        return []


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Photo]:
    """Grey drawings of 92x112 pixels: the blobs at the landmarks are the person's, the light the photograph's."""
    folder = tmp_path_factory.mktemp("photos")
    y, x = torch.meshgrid(torch.arange(112), torch.arange(92), indexing="ij")
    made = []
    for person in range(PEOPLE):
        for number in range(EACH):
            own = torch.Generator().manual_seed(person)
            grain = torch.Generator().manual_seed(1000 * person + number)
            image = 120 + 10.0 * number + 6 * torch.randn(112, 92, generator=grain)
            for px, py in LANDMARKS.tolist():
                strength = torch.rand(1, generator=own) * 160 - 80
                image += strength * torch.exp(-((x - px).square() + (y - py).square()) / 50)
            file = folder / f"{person}-{number}.pgm"
            Image.fromarray(image.clamp(0, 255).to(torch.uint8).numpy()).save(file)
            made.append(Photo(person=f"s{person}", name=f"s{person}-{number}", file=file))
    return made


@pytest.fixture(scope="module")
def face_folder(photos: list[Photo], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("set")
    found = find_faces(photos, KnownFaces(), out / "landmarks.json")
    return build_set(photos, found, out / "faces", rule=TIGHT, seed=0)


def test_the_installed_photographs_are_found() -> None:
    try:
        photos = orl_photos()
    except InputError as error:
        pytest.skip(f"no photographs of faces here: {error}")
    assert set(Counter(photo.person for photo in photos).values()) == {10}
    assert len({photo.person for photo in photos}) == 40
    assert [photo.name for photo in photos[:2]] == ["s1-1", "s1-2"]
    with Image.open(photos[-1].file) as image:
        assert image.size == (92, 112)


def test_without_the_photographs_the_error_names_the_extra() -> None:
    with pytest.raises(InputError, match=r"pip install 'verovolto\[demo\]'"):
        orl_photos("a-distribution-that-is-not-there")
    with pytest.raises(InputError, match="lacks the ORL photographs"):
        orl_photos("numpy")


def test_people_are_divided_and_stay_within_their_split() -> None:
    people = [f"s{i}" for i in range(1, 41)]
    splits = divide(people, seed=0)
    assert {name: len(own) for name, own in splits.people.items()} == {"train": 20, "val": 12, "test": 8}
    assert sorted(person for own in splits.people.values() for person in own) == sorted(people)
    assert "train" not in splits.donors
    for split, donors in splits.donors.items():
        assert set(donors) == set(splits.people[split])
        assert {lender for lenders in donors.values() for lender in lenders} <= set(splits.people[split])
    assert divide(people, seed=1).people != splits.people
    with pytest.raises(InputError, match="too few"):
        divide(people[:21], seed=0)


def test_faces_are_looked_for_once(photos: list[Photo], tmp_path: Path) -> None:
    detector, cache = KnownFaces(), tmp_path / "landmarks.json"
    first = find_faces(photos[:5], detector, cache)
    again = find_faces(photos[:5], detector, cache)
    assert detector.calls == 5 and set(first) == set(again) == {photo.name for photo in photos[:5]}
    assert torch.equal(first["s0-0"].landmarks, again["s0-0"].landmarks)
    assert find_faces(photos[:5], NoFaces(), cache) == {}  # another detector's faces are not taken
    cache.write_text("{")
    assert len(find_faces(photos[:6], detector, cache)) == 6


def test_the_set_holds_reals_and_one_forgery_of_each_held_out_real(face_folder: Path) -> None:
    table = FaceSet.open(face_folder).columns()
    rows = table.to_pylist()
    counts = Counter((row["split"], row["label"]) for row in rows)
    assert counts == {
        ("train", "real"): 6 * EACH,
        ("val", "real"): 12 * EACH,
        ("val", "fake"): 12 * EACH,
        ("test", "real"): 8 * EACH,
        ("test", "fake"): 8 * EACH,
    }
    reals = {row["pair"]: row for row in rows if row["label"] == "real" and row["pair"]}
    for row in rows:
        if row["label"] == "fake":
            assert row["method"] == METHOD and row["dataset"] == "ORL"
            assert row["donor_identity"] not in (None, row["target_identity"])
            assert reals[row["pair"]]["target_identity"] == row["target_identity"]
            assert (reals[row["pair"]]["crop_width"], row["crop_height"]) == (
                row["crop_width"],
                row["crop_width"],
            )
        else:
            assert row["donor_identity"] is None and row["method"] is None


def test_the_splits_share_nobody_and_val_can_be_halved(face_folder: Path) -> None:
    faces = FaceSet.open(face_folder)
    check_disjoint(faces.columns())
    for seed in range(5):
        choose = halve(faces.select(split="val").columns(), seed=seed)
        assert int(choose.sum()) == len(choose) // 2


def test_reals_are_the_photographs_and_forgeries_differ_inside_only(
    photos: list[Photo], face_folder: Path
) -> None:
    faces = FaceSet.open(face_folder)
    assert faces.crop_rule == TIGHT.to_dict()
    test = faces.select(split="test")
    rows = test.columns("label", "pair").to_pylist()
    images = {(row["pair"], row["label"]): test.image(i) for i, row in enumerate(rows)}
    [face] = KnownFaces().detect(torch.zeros(1))
    by_name = {photo.name: photo for photo in photos}
    for name in {row["pair"] for row in rows}:
        real, fake = images[name, "real"], images[name, "fake"]
        assert torch.equal(real, crop(load_photo(by_name[name].file), face, TIGHT))
        assert not torch.equal(real, fake)
        assert torch.equal(real[:, :2], fake[:, :2]) and torch.equal(real[:, :, :2], fake[:, :, :2])
        assert torch.equal(fake[0], fake[1])


def test_credit_is_given_and_a_second_run_changes_nothing(photos: list[Photo], face_folder: Path) -> None:
    assert "AT&T Laboratories Cambridge" in (face_folder / "CREDIT.txt").read_text()
    before = (face_folder / "manifest.csv").stat().st_mtime_ns
    assert build_set(photos, {}, face_folder, rule=TIGHT, seed=0) == face_folder
    assert (face_folder / "manifest.csv").stat().st_mtime_ns == before
    assert not list(face_folder.parent.glob(".*.part"))


def test_the_set_repeats_with_its_seed(photos: list[Photo], face_folder: Path, tmp_path: Path) -> None:
    found = find_faces(photos, KnownFaces(), tmp_path / "landmarks.json")
    again = build_set(photos, found, tmp_path / "again", rule=TIGHT, seed=0)
    other = build_set(photos, found, tmp_path / "other", rule=TIGHT, seed=1)
    manifest = (face_folder / "manifest.csv").read_bytes()
    assert (again / "manifest.csv").read_bytes() == manifest
    assert (other / "manifest.csv").read_bytes() != manifest
    one = next(face_folder.glob("test/fake/*.png"))
    assert (again / one.relative_to(face_folder)).read_bytes() == one.read_bytes()


def test_photographs_without_a_face_are_left_out(photos: list[Photo], tmp_path: Path) -> None:
    found = find_faces(photos, KnownFaces(), tmp_path / "landmarks.json")
    del found["s3-1"]
    folder = build_set(photos, found, tmp_path / "faces", rule=TIGHT, seed=0)
    assert not list(folder.rglob("s3-1.png"))
    assert len(FaceSet.open(folder).select(label="real")) == PEOPLE * EACH - 1


@pytest.fixture
def drawn(photos: list[Photo], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the demonstration take the drawn photographs and the detector that knows them."""
    monkeypatch.setattr(demo_module, "orl_photos", lambda: photos)
    monkeypatch.setattr(demo_module, "MTCNNDetector", KnownFaces)


@pytest.mark.slow
@pytest.mark.usefixtures("drawn")
def test_the_whole_demonstration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    demo(out=tmp_path / "demo", epochs=1)
    out, err = capsys.readouterr()
    *_, before, last = out.splitlines()
    scanned = Path(last.removeprefix("page: "))
    assert scanned == (tmp_path / "demo" / "scan" / "default" / "report.html").resolve() and scanned.is_file()
    assert "not scanned with the trained detector: " in err  # twelve reals are too few to calibrate on
    assert "scanned with the default detector (swapped: photo-swapped.png, video-swapped.mp4)" in out
    page = Path(before.removeprefix("evaluation of what was trained: "))
    assert page.is_absolute() and page == (tmp_path / "demo" / "test" / "report.html").resolve()
    assert "This is a demonstration: 12 photographs" in page.read_text(encoding="utf-8")
    metrics = json.loads((page.parent / "metrics.json").read_text())
    assert 0 <= metrics["auroc"]["value"] <= 1
    assert metrics["interval"]["clusters"] == 8 and metrics["interval"]["cluster"] == "identity"
    assert (tmp_path / "demo" / "run" / "detector" / "detector.json").is_file()


@pytest.mark.usefixtures("drawn")
def test_a_folder_of_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    for force in (False, True):
        with pytest.raises(InputError, match="something else"):
            run_demo(tmp_path, epochs=1, seed=0, force=force)
    with pytest.raises(InputError, match="is a file"):
        run_demo(tmp_path / "mine.txt", epochs=1, seed=0)
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_other_settings_are_refused_and_force_clears_only_its_own(tmp_path: Path) -> None:
    demo_module._begin(tmp_path / "demo", seed=0, force=False)
    demo_module._begin(tmp_path / "demo", seed=0, force=False)
    mine = tmp_path / "demo" / "notes.txt"
    mine.write_text("mine")
    (tmp_path / "demo" / "run").mkdir()
    with pytest.raises(InputError, match="other settings"):
        demo_module._begin(tmp_path / "demo", seed=1, force=False)
    assert (tmp_path / "demo" / "run").is_dir()
    demo_module._begin(tmp_path / "demo", seed=1, force=True)
    assert not (tmp_path / "demo" / "run").exists() and mine.read_text() == "mine"
    assert json.loads((tmp_path / "demo" / "demo.json").read_text())["seed"] == 1


@pytest.mark.usefixtures("drawn")
def test_a_demonstration_is_not_disturbed_by_another_in_its_folder(tmp_path: Path) -> None:
    out = tmp_path / "demo"
    demo_module._begin(out, seed=0, force=False)
    (out / "run").mkdir()
    with lock(out, refused="", hint=""):
        for force in (False, True):
            with pytest.raises(InputError, match=r"another demonstration is at work .*\(wait until it has"):
                run_demo(out, epochs=1, seed=0, force=force)
    assert {each.name for each in out.iterdir()} == {"demo.json", "lock", "run"}


@pytest.fixture
def examples(photos: list[Photo], tmp_path: Path) -> Examples:
    found = find_faces(photos, KnownFaces(), tmp_path / "landmarks.json")
    return write_examples(photos, found, tmp_path / "examples", seed=0)


def test_the_files_to_scan_show_one_tested_person_with_and_without_another_face(
    examples: Examples, photos: list[Photo], tmp_path: Path
) -> None:
    person = divide(list(dict.fromkeys(photo.person for photo in photos)), seed=0).people["test"][0]
    own = next(photo for photo in photos if photo.person == person)
    real, forged = (load_photo(examples.folder / name) for name in ("photo.png", "photo-swapped.png"))
    assert torch.equal(real, load_photo(own.file)) and not torch.equal(real, forged)
    for name in ("video.mp4", "video-swapped.mp4"):
        with av.open(str(examples.folder / name)) as container:
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        assert len(frames) == FRAMES_EACH * EACH and frames[0].shape == (224, 184, 3)
    assert "AT&T Laboratories Cambridge" in (examples.folder / "CREDIT.txt").read_text()
    before = (examples.folder / "video.mp4").stat().st_mtime_ns
    again = write_examples(photos, {}, tmp_path / "examples", seed=0)
    assert again == examples and (examples.folder / "video.mp4").stat().st_mtime_ns == before


def test_a_detector_without_its_weights_is_passed_over(
    examples: Examples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(*_: object, **__: object) -> None:
        raise WeightsError("the weights are not here", hint="install them")

    monkeypatch.setattr("verovolto.scanning.request.ScanRequest.run", missing)
    assert scan_examples(examples, {"default": None}, tmp_path / "pages") == []
    assert (
        "not scanned with the default detector: the weights are not here (install them)"
        in capsys.readouterr().err
    )
