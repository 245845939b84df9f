from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import pyarrow.parquet as pq
import pytest

from tests.conftest import full_disk
from tests.faces.bright import POISON, RULE, BrightSquares, clip, cut, photo
from verovolto import FaceSet, cli, prepare
from verovolto.core.errors import DataError, InputError
from verovolto.core.files import atomic_path
from verovolto.data.storage.parquet import shard_metadata
from verovolto.faces.detection.centerface import CenterFaceDetector
from verovolto.faces.detection.mtcnn import MTCNNDetector
from verovolto.preparation import merge as gather
from verovolto.preparation.pipeline import Prepared
from verovolto.preparation.pipeline import prepare as prepare_faces

REAL = "original_sequences/youtube/c23/videos"
FAKE = "manipulated_sequences/{}/c23/videos"
LARGE, SMALL = (40, 20, 40), (6, 6, 20)


def collection(root: Path) -> Path:
    """FaceForensics++ in small: 001 shows one face, 002 two; a Deepfakes forgery of each, a FaceSwap of 001 in
    which the face stands elsewhere."""
    clip(root / REAL / "001.mp4", [LARGE])
    clip(root / REAL / "002.mp4", [LARGE, SMALL])
    clip(root / FAKE.format("Deepfakes") / "001_002.mp4", [(42, 21, 38)])
    clip(root / FAKE.format("Deepfakes") / "002_001.mp4", [SMALL, LARGE])
    clip(root / FAKE.format("FaceSwap") / "001_002.mp4", [(2, 2, 30)], frames=4)
    return root


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small collection; do not write into it."""
    return collection(tmp_path_factory.mktemp("Größe mit Leerraum") / "ff++ ü")


OWN: dict[str, Any] = {"crop": RULE, "smallest": 0, "confidence": 0.5}


def run(src: Path, out: Path, *, detector: Any = None, faces: Any = "all", **options: Any) -> Prepared:
    return prepare_faces(
        src, out, **OWN, fps=4, faces=faces, face_detector=detector or BrightSquares(), **options
    )


def content(out: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(out.iterdir())}


def rows(out: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = FaceSet.open(out).columns().to_pylist()
    return found


@pytest.fixture(scope="module")
def whole(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the collection gives when nothing goes wrong; do not write into it."""
    out = tmp_path_factory.mktemp("whole") / "faces"
    assert run(source, out).complete
    return out


def test_a_collection_becomes_a_face_set(source: Path, whole: Path) -> None:
    faces = FaceSet.open(whole)
    assert sorted(content(whole)) == ["coverage.json", "faces-00000-of-00001.parquet", "prepare.json"]
    assert faces.crop_rule == RULE.to_dict() and faces.name == source.name
    meta = shard_metadata(whole / "faces-00000-of-00001.parquet")
    assert (meta["detector"], meta["encoding"]) == ("bright", "JPEG, quality 95, 4:4:4")
    videos = list(dict.fromkeys((row["method"], row["video"]) for row in rows(whole)))
    assert videos == [
        (None, "001"), (None, "002"), ("Deepfakes", "001_002"), ("Deepfakes", "002_001"), ("FaceSwap", "001_002"),
    ]  # fmt: skip
    row = rows(whole)[-1]
    assert (row["label"], row["compression"], row["source_video"]) == ("fake", "c23", "001")
    assert (row["target_identity"], row["donor_identity"]) == ("001", "002")
    assert all(faces.image(i).shape[1] == row["crop_height"] for i, row in enumerate(rows(whole)))


def test_fakes_are_paired_with_the_same_face_of_the_same_frame(whole: Path) -> None:
    pairs: dict[tuple[str | None, str], list[str | None]] = {}
    for row in rows(whole):
        pairs.setdefault((row["method"], row["video"]), []).append(row["pair"])
    one = [f"FaceForensics++/c23/001/{frame:06d}-0" for frame in (0, 2, 4, 6)]
    two = [f"FaceForensics++/c23/002/{frame:06d}-{rank}" for frame in (0, 2, 4, 6) for rank in (0, 1)]
    assert pairs[None, "001"] == pairs["Deepfakes", "001_002"] == one
    assert pairs[None, "002"] == pairs["Deepfakes", "002_001"] == two
    assert pairs["FaceSwap", "001_002"] == [None, None]


def test_a_real_without_a_fake_has_no_pair(tmp_path: Path) -> None:
    root = tmp_path / "set"
    clip(root / REAL / "001.mp4", frames=4)
    clip(root / FAKE.format("Deepfakes") / "003_001.mp4", frames=4)
    run(root, tmp_path / "out")
    assert [row["pair"] for row in rows(tmp_path / "out")] == [None] * 4


def test_workers_change_nothing_and_a_killed_one_is_replaced(source: Path, tmp_path: Path) -> None:
    root = collection(tmp_path / source.name)
    clip(root / REAL / "003.mp4", ground=POISON)
    fuse = tmp_path / "fuse"
    fuse.touch()
    heard: list[tuple[int, int]] = []
    out = tmp_path / "once"
    done = run(
        root,
        out,
        workers=2,
        detector=BrightSquares(deadly=True, once=fuse),
        on_progress=lambda at, of: heard.append((at, of)),
    )
    assert done.complete and not fuse.exists() and heard == [(n, 6) for n in range(7)]
    assert {row["video"] for row in rows(out)} >= {"003"}
    run(root, tmp_path / "inline")
    assert (out / "coverage.json").read_bytes() == (tmp_path / "inline" / "coverage.json").read_bytes()
    shard = "faces-00000-of-00001.parquet"
    assert (out / shard).read_bytes() == (tmp_path / "inline" / shard).read_bytes()


def test_media_that_kill_their_process_are_unreadable(tmp_path: Path) -> None:
    root, out = tmp_path / "set", tmp_path / "out"
    clip(root / "real" / "a.mp4", frames=4)
    clip(root / "real" / "b.mp4", ground=POISON, frames=4)
    done = run(root, out, workers=1, detector=BrightSquares(deadly=True))
    assert not done.complete and done.coverage["unreadable"] == 1
    [lost] = done.coverage["media"]
    assert lost["path"] == "real/b.mp4" and "SIGKILL" in lost["reasons"][0]
    assert {row["video"] for row in rows(out)} == {"real/a"}


def stopping_after(count: int) -> Callable[[int, int], None]:
    def on_progress(done: int, total: int) -> None:
        if done >= count:
            raise KeyboardInterrupt

    return on_progress


def test_an_interrupted_run_goes_on(source: Path, whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt, match="3 of 5 are done; the same command goes on"):
        run(source, out, on_progress=stopping_after(3))
    parts = {file.name: file.stat().st_mtime_ns for file in (out / ".work").iterdir()}
    assert len(parts) == 3
    (out / ".work" / ".x.parquet.77.part").write_bytes(b"half")
    with pytest.raises(DataError):
        FaceSet.open(out)
    heard: list[int] = []
    run(source, out, on_progress=lambda done, total: heard.append(done))
    assert heard == [3, 4, 5], "what was done was done again"
    assert content(out) == content(whole)


@pytest.mark.parametrize("place", ["shard", "coverage.json", "after"])
def test_a_run_killed_while_it_gathers_goes_on(
    place: str, source: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    monkeypatch.setattr(gather, "SHARD_ROWS", 64)

    @contextmanager
    def killed(path: Path) -> Iterator[Path]:
        if path.parent == out and path.name.startswith("faces-"):
            raise KeyboardInterrupt
        with atomic_path(path) as part:
            yield part

    def kill(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        if place == "shard":
            patch.setattr("verovolto.data.storage.parquet.atomic_path", killed)
        elif place == "coverage.json":
            patch.setattr("verovolto.preparation.pipeline.coverage_of", kill)
        else:
            patch.setattr("verovolto.preparation.pipeline.shutil.rmtree", kill)
        with pytest.raises(KeyboardInterrupt):
            run(source, out)
    assert run(source, out).already == (place == "after")
    assert not (out / ".work").exists()
    assert rows(out) == rows(whole)


def test_a_killed_process_loses_nothing(source: Path, whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    code = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from tests.commands.test_prepare import run\n"
        "def kill(done, total):\n"
        "    if done == 2: os.kill(os.getpid(), signal.SIGKILL)\n"
        "run(Path(sys.argv[1]), Path(sys.argv[2]), on_progress=kill)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, source, out], cwd=Path(__file__).parents[2], check=False
    )
    assert ended.returncode == -signal.SIGKILL
    assert len(list((out / ".work").glob("*.parquet"))) == 2
    run(source, out)
    assert content(out) == content(whole)


def test_a_finished_set_is_left_alone(source: Path, whole: Path, tmp_path: Path) -> None:
    before = {file.name: file.stat().st_mtime_ns for file in whole.iterdir()}
    done = run(source, whole)
    assert done.already and {file.name: file.stat().st_mtime_ns for file in whole.iterdir()} == before
    assert "stood there already" in done.summary_lines()[-2]


def test_settings_must_match(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        run(source, out, on_progress=stopping_after(1))
    with pytest.raises(InputError, match=r"other settings: faces all, now largest.*--force"):
        run(source, out, faces="largest")
    assert not run(source, out, faces="largest", force=True).already
    assert json.loads((out / "prepare.json").read_text())["faces"] == "largest"
    assert {row["face"][-2:] for row in rows(out)} == {"-0"}


def test_foreign_folders_are_never_touched(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "faces-00000-of-00001.parquet").write_bytes(b"somebody's")
    for force in (False, True):
        with pytest.raises(InputError, match="is not empty"):
            run(source, out, force=force)
    assert (out / "faces-00000-of-00001.parquet").read_bytes() == b"somebody's"
    with pytest.raises(InputError, match="is a file"):
        run(source, out / "faces-00000-of-00001.parquet")


def test_what_changed_is_looked_at_again(tmp_path: Path) -> None:
    root, out = tmp_path / "set", tmp_path / "out"
    clip(root / "real" / "a.mp4", frames=4)
    cut(clip(root / "fake" / "b.mp4", frames=4), 0.02)
    with pytest.raises(DataError, match=r"1 of 2 media cannot be read.*fake/b\.mp4: .*--max-unreadable"):
        run(root, out, max_unreadable=0.2)
    clip(root / "fake" / "b.mp4", frames=4)
    assert run(root, out, max_unreadable=0.2).complete
    assert len(rows(out)) == 4


def test_damage_and_empty_videos_are_told(tmp_path: Path) -> None:
    root, out = tmp_path / "set", tmp_path / "out"
    clip(root / "real" / "a.mp4")
    photo(root / "real" / "b.png")
    cut(clip(root / "fake" / "half ü.mp4", frames=40), 0.6)
    clip(root / "fake" / "none.mp4", [])
    (root / "fake" / "text.mp4").write_text("no video")
    done = run(root, out)
    lines = "\n".join(done.summary_lines())
    assert "damaged: fake/half ü.mp4: " in lines and "unreadable: fake/text.mp4: " in lines
    assert "nothing found" in lines and "warning: a face was found in 100.0% of the real" in lines
    [real, fake, total] = done.coverage["classes"]
    assert (real["videos"], fake["videos"], total["videos"]) == (2, 3, 5)
    assert (fake["damaged"], fake["unreadable"], fake["no_face"]) == (1, 1, 4)
    assert total["faces"] == done.coverage["faces"] == len(rows(out))


def test_names_that_are_no_text_are_written_out(tmp_path: Path) -> None:
    root, out = tmp_path / "set", tmp_path / "out"
    odd = os.fsdecode(b"a\xff.mp4")
    try:
        clip(root / "real" / "a.mp4", frames=2).rename(root / "real" / odd)
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    (root / "real" / os.fsdecode(b"b\xff.mp4")).write_bytes(b"")
    done = run(root, out)
    assert [row["video"] for row in rows(out)] == ["real/a\\xff"]
    assert [each["path"] for each in done.coverage["media"]] == ["real/b\\xff.mp4"]
    "\n".join(done.summary_lines()).encode("utf-8")


def test_no_face_at_all_is_an_error(tmp_path: Path) -> None:
    clip(tmp_path / "set" / "real" / "a.mp4", [], frames=2)
    with pytest.raises(DataError, match="no face was found in 1 frames of 1 media"):
        run(tmp_path / "set", tmp_path / "out")


def test_a_class_that_is_lost_is_an_error_unless_asked_for(tmp_path: Path) -> None:
    listed, faceless = tmp_path / "listed", tmp_path / "faceless"
    clip(listed / "real" / "a.mp4", [LARGE], frames=2)
    (listed / "fake" / "v").mkdir(parents=True)
    (listed / "fake" / "v" / "notes").write_text("no face here")
    with pytest.raises(DataError, match=r"nothing was found in those of fake.*a text file.*--one-class"):
        run(listed, tmp_path / "out")
    assert run(listed, tmp_path / "one", one_class=True).coverage["faces"] == 1
    clip(faceless / "real" / "a.mp4", [LARGE], frames=2)
    clip(faceless / "fake" / "b.mp4", [], frames=2)
    with pytest.raises(DataError, match=r"no face was found in any of the fake media.*--one-class"):
        run(faceless, tmp_path / "faceless-out")
    assert run(faceless, tmp_path / "faceless-out", one_class=True).coverage["faces"] == 1, "it goes on"


def test_a_folder_of_reals_alone_is_asked_for_by_itself(tmp_path: Path) -> None:
    clip(tmp_path / "set" / "real" / "a.mp4", [LARGE], frames=2)
    assert run(tmp_path / "set", tmp_path / "out").coverage["faces"] == 1


def test_a_full_disk_stops_the_run_and_it_goes_on(
    source: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr("verovolto.data.storage.parquet.atomic_path", full_disk(tmp_path))
        with pytest.raises(OSError):
            run(source, out)
    run(source, out)
    assert content(out) == content(whole)


def test_rows_fill_groups_of_64_across_videos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gather, "SHARD_ROWS", 128)
    root, out = tmp_path / "set", tmp_path / "out"
    for name in "abcd":
        clip(root / "real" / f"{name}.mp4", frames=50)
    prepare_faces(root, out, **OWN, fps=1000, face_detector=BrightSquares())
    files = sorted(out.glob("*.parquet"))
    assert [file.name for file in files] == [f"faces-0000{i}-of-00002.parquet" for i in range(2)]
    sizes = [
        [
            pq.ParquetFile(file).metadata.row_group(g).num_rows
            for g in range(pq.ParquetFile(file).num_row_groups)
        ]
        for file in files
    ]
    assert sizes == [[64, 64], [64, 8]] and len(FaceSet.open(out)) == 200


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"workers": -1}, "--workers"),
        ({"max_unreadable": 2.0}, "--max-unreadable"),
        ({"layout": "fpp"}, "layout"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], said: str, source: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said):
        run(source, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_a_rule_of_another_detector_is_refused(source: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="boxes of bright, the detector is mtcnn"):
        prepare_faces(source, tmp_path / "out", crop=RULE)


def test_media_without_a_folder_for_their_label_are_asked_for_it(tmp_path: Path) -> None:
    root = tmp_path / "set"
    photo(root / "a.png")
    with pytest.raises(DataError, match=r"directly.*real/ \(and fake/\).*--label real or --label fake"):
        run(root, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("label", ["real", "fake"])
def test_a_folder_of_one_label(tmp_path: Path, label: Literal["real", "fake"]) -> None:
    root, out = tmp_path / "album", tmp_path / "out"
    photo(root / "a.png")
    clip(root / "b.mp4", frames=4)
    clip(root / "more" / "b.mp4", frames=2)
    photo(root / "frames" / "c" / "0001.png")
    with pytest.raises(KeyboardInterrupt):
        run(root, out, label=label, on_progress=stopping_after(2))
    assert run(root, out, label=label).coverage["layout"] == f"all {label}"
    found = rows(out)
    assert {row["label"] for row in found} == {label} and {row["dataset"] for row in found} == {"album"}
    assert {(row["video"], row["source_video"], row["frame"]) for row in found} == {
        ("a.png", None, None), ("b", "b", 0), ("b", "b", 2), ("more/b", "more/b", 0), ("frames/c", "c", 1),
    }  # fmt: skip
    other: Literal["real", "fake"] = "fake" if label == "real" else "real"
    with pytest.raises(InputError, match="other settings: layout"):
        run(root, out, label=other)


def test_a_label_does_not_overrule_folders(source: Path, tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"--label real is for a folder that is all real, and .* layout ffpp"
    ):
        run(source, tmp_path / "out", label="real")
    clip(tmp_path / "set" / "fake" / "a.mp4", frames=2)
    with pytest.raises(InputError, match="layout folder"):
        run(tmp_path / "set", tmp_path / "out", label="real")
    with pytest.raises(InputError, match="layout celebdf"):
        run(tmp_path / "set" / "fake", tmp_path / "out", label="real", layout="celebdf")


def test_the_function_prepares_as_the_command_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clip(tmp_path / "set" / "a.mp4")
    words = ("--label", "real", "--workers", "0", "--smallest", "10")
    assert command(monkeypatch, tmp_path / "set", "--out", tmp_path / "command", *words) == 0
    assert "2 faces: " in capsys.readouterr().out
    done = prepare(str(tmp_path / "set"), tmp_path / "function", label="real", smallest=10.0)
    assert done.complete and done.out == tmp_path / "function"
    assert content(tmp_path / "command") == content(tmp_path / "function")


def command(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr(sys, "argv", ["verovolto", "prepare", *map(str, words)])
    for detector in (MTCNNDetector, CenterFaceDetector):
        monkeypatch.setattr(detector, "detect", lambda _, image, **_least: BrightSquares().detect(image))
    with pytest.raises(SystemExit) as end:
        cli.main()
    return int(end.value.code or 0)


def test_the_command_and_its_exit_codes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root, out = tmp_path / "set", tmp_path / "out"
    for name in "abc":
        clip(root / "real" / f"{name}.mp4")
    flags = ("--workers", "0", "--smallest", "10")
    assert command(monkeypatch, root, "--out", out, *flags) == 0
    said = capsys.readouterr()
    assert "6 faces: " in said.out and "with face" in said.out
    (root / "real" / "d.mp4").write_text("no video")
    assert command(monkeypatch, root, "--out", out, *flags) == 0  # it stands there already
    assert command(monkeypatch, root, "--out", out, *flags, "--force") == 1
    assert "unreadable: real/d.mp4" in capsys.readouterr().out
    assert command(monkeypatch, root, "--out", out, "--fps", "1", *flags) == 2
    assert command(monkeypatch, tmp_path / "nowhere", "--out", out) == 2
    assert command(monkeypatch, root, "--out", tmp_path / "x", "--fps", "1", "--frames", "2") == 2
    errors = capsys.readouterr().err.splitlines()
    assert sum(line.startswith("error: ") for line in errors) == 3


def test_another_face_detector_brings_its_own_confidence_and_a_restated_rule(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from verovolto.data.crop_rule import FFPP
    from verovolto.faces.detection.registry import for_detector

    monkeypatch.setattr("verovolto.faces.detection.centerface.model_bytes", lambda: b"")
    root, out = tmp_path / "set", tmp_path / "out"
    clip(root / "real" / "a.mp4")
    flags = ("--workers", "0", "--smallest", "10")
    assert command(monkeypatch, root, "--out", out, "--face-detector", "centerface", *flags) == 0
    settings = json.loads((out / "prepare.json").read_text())
    assert (settings["detector"], settings["confidence"]) == ("centerface", 0.5)
    assert settings["crop_rule"] == for_detector(FFPP, "centerface").to_dict()
    assert command(monkeypatch, root, "--out", out, *flags) == 2  # begun with another detector
    assert command(monkeypatch, root, "--out", tmp_path / "x", "--face-detector", "mtcn") == 2
    assert "did you mean mtcnn?" in capsys.readouterr().err


@pytest.mark.data
@pytest.mark.slow
def test_real_clips_give_labels_methods_and_pairs(real_data: Path, tmp_path: Path) -> None:
    from verovolto.data.crop_rule import FFPP

    out = tmp_path / "out"
    done = prepare_faces(real_data / "ffpp-clips", out, crop=FFPP, frames=3, confidence=0.9, smallest=0)
    found = rows(tmp_path / "out")
    assert done.complete and len(found) == 12 and all(row["pair"] for row in found)
    assert {row["method"] for row in found} == {None, "Deepfakes", "FaceSwap"}
