"""The command line as a user meets it: help that answers at once, errors of one line, exit codes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Command, draw_face, jpeg, write_set
from verovolto.detectors.io import JSON_NAME, WEIGHTS_NAME


@pytest.fixture
def run(command_line: Command) -> Command:
    """Run any command."""
    return command_line


@pytest.fixture
def refused(run):  # type: ignore[no-untyped-def]
    """Run a command that must fail: exit code 2 and one line; returns the line."""

    def check(*words: object) -> str:
        code, _, err = run(*words)
        lines = [line for line in err.splitlines() if line.startswith("error: ")]
        assert code == 2 and len(lines) == 1, err
        assert "Traceback" not in err
        return str(lines[0])

    return check


SMALL = ("--size", 8, "--latent", 4, "--epochs", 1, "--batch-size", 8, "--threads", 1, "--precision", "32")


@pytest.fixture(scope="module")
def trained(face_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from verovolto.training.config import configure
    from verovolto.training.fit import run as run_training

    out = tmp_path_factory.mktemp("trained") / "run"
    return run_training(
        configure(data=face_set, model="oc-ae", out=out, size=8, latent=4, epochs=1, batch_size=8, threads=1)
    )


@pytest.mark.parametrize(
    ("words", "code"), [(("models",), 0), (("train", "--help"), 0), (("scan", "{samples}/photos"), 1)]
)
def test_a_reader_that_leaves_is_no_error(words: tuple[str, ...], code: int, tmp_path: Path) -> None:
    """As with `| head -1`: no traceback, the command's own exit code, and the files that were asked for."""
    samples = Path(__file__).parent / "samples" / "v0.1.0"
    command = [sys.executable, "-m", "verovolto", *(word.format(samples=samples) for word in words)]
    files = [tmp_path / "result.json", tmp_path / "page/report.html"] if words[0] == "scan" else []
    if files:
        command += ["--workers", "0", "--json", str(files[0]), "--report", str(files[1].parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None and running.stderr is not None
        running.stdout.close()
        said = running.stderr.read()
    assert running.returncode == code, said
    assert "Traceback" not in said and "BrokenPipe" not in said
    assert all(file.stat().st_size for file in files)


def test_nothing_is_written_to_the_home_folder(tmp_path: Path) -> None:
    """By a command that draws: matplotlib would make a folder there."""
    home = {"HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path)}
    own = ("MPLCONFIGDIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME")
    given = {name: value for name, value in os.environ.items() if name not in own} | home
    words = ["models", "--diagram", str(tmp_path / "network.png"), "--model", "oc-ae"]
    subprocess.run([sys.executable, "-m", "verovolto", *words], env=given, check=True, capture_output=True)
    assert (tmp_path / "network.png").stat().st_size and not (tmp_path / "home").exists()


def test_an_error_stays_one_where_nobody_reads() -> None:
    command = [sys.executable, "-m", "verovolto", "scan", "--fps", "0", "nowhere.mp4"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout is not None and running.stderr is not None
        running.stdout.close()
        running.stderr.close()
    assert running.returncode == 2


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['verovolto', '--help']\n"
        "from verovolto import cli\n"
        "try:\n    cli.main()\nexcept SystemExit as end:\n    assert not end.code\n"
        "heavy = {'torch', 'numpy', 'pyarrow', 'matplotlib', 'sklearn', 'PIL'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for command in ("train", "evaluate", "compare", "models", "demo", "data"):
        assert command in done.stdout


@pytest.mark.parametrize(
    "command", [["train"], ["evaluate"], ["compare"], ["models"], ["demo"], ["data", "split"]]
)
def test_every_command_explains_itself(run, command: list[str]) -> None:  # type: ignore[no-untyped-def]
    code, out, _ = run(*command, "--help")
    assert code == 0 and "Usage: verovolto" in out


def test_a_command_s_help_is_its_whole_docstring(run) -> None:  # type: ignore[no-untyped-def]
    assert "no image is copied" in " ".join(run("data", "split", "--help")[1].split())
    assert "even killed" in " ".join(run("train", "--help")[1].split())
    assert "no-no" not in run("evaluate", "--help")[1]


def test_train_evaluate_compare(run, face_set: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    code, out, err = run(
        "train", "--data", face_set, "--model", "oc-fakedect1", "--out", tmp_path / "run", *SMALL
    )
    assert code == 0, err
    assert "verovolto evaluate" in out
    code, _, err = run(
        "evaluate", tmp_path / "run", "--data", face_set, "--out", tmp_path / "test", "--resamples", 50
    )
    assert code == 0, err
    metrics = json.loads((tmp_path / "test" / "metrics.json").read_text())
    assert {"value", "low", "high"} <= metrics["auroc"].keys()
    assert (tmp_path / "test" / "report.html").stat().st_size > 10_000
    run(
        "train",
        "--data",
        face_set,
        "--model",
        "oc-fakedect2",
        "--out",
        tmp_path / "twin",
        "--from",
        tmp_path / "run",
    )
    run("evaluate", tmp_path / "twin", "--data", face_set, "--out", tmp_path / "twin-test", "--resamples", 50)
    code, out, err = run("compare", tmp_path / "test", tmp_path / "twin-test", "--out", tmp_path / "both")
    assert code == 0, err
    assert "auroc" in out.lower()


def test_a_toml_file_gives_the_flags_and_flags_win(run, face_set: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    file = tmp_path / "run.toml"
    file.write_text(
        f'data = "{face_set}"\nmodel = "oc-ae"\nsize = 8\nlatent = 4\nepochs = 3\nbatch_size = 8\nthreads = 1\n'
    )
    code, _, err = run("train", "--config", file, "--out", tmp_path / "run", "--epochs", 1)
    assert code == 0, err
    stored = (tmp_path / "run" / "config.toml").read_text()
    assert "epochs = 1\n" in stored and "size = 8\n" in stored
    # The configuration a run keeps can be given again.
    code, _, err = run("train", "--config", tmp_path / "run" / "config.toml", "--out", tmp_path / "again")
    assert code == 0, err


def test_a_toml_file_with_an_unknown_key(run, face_set: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "run.toml").write_text(f'data = "{face_set}"\nmodel = "oc-ae"\nepocs = 3\n')
    code, _, err = run("train", "--config", tmp_path / "run.toml", "--out", tmp_path / "run")
    assert code == 2 and "epocs" in err and "epochs" in err


@pytest.mark.parametrize(
    ("text", "match"), [(None, "no configuration file"), ("size = = 3", "no valid TOML")]
)
def test_a_missing_or_broken_toml_file(refused, tmp_path: Path, text: str | None, match: str) -> None:  # type: ignore[no-untyped-def]
    if text is not None:
        (tmp_path / "run.toml").write_text(text)
    assert match in refused("train", "--config", tmp_path / "run.toml")


def test_a_name_in_brackets_is_a_file(refused) -> None:  # type: ignore[no-untyped-def]
    """And no list in JSON."""
    assert "[x] y.json cannot be read" in refused("verify", "[x] y.json", "[2024] photo.jpg")
    assert "[2024] faces does not exist" in refused("data", "info", "[2024] faces")


@pytest.mark.parametrize("words", [("--reals", "a", "b"), ("--reals", "a", "--reals", "b")])
def test_several_values_follow_one_flag_of_train(words: tuple[str, ...]) -> None:
    from verovolto.cli import app

    given = ["train", "--data", "x", *words, "--model", "region-discriminant", "--out", "y"]
    _, bound, _ = app.parse_args(given, exit_on_error=False, print_error=False)
    assert bound.arguments["reals"] == (Path("a"), Path("b"))


def test_an_unknown_command_is_answered_with_the_nearest(run) -> None:  # type: ignore[no-untyped-def]
    code, out, err = run("trian")
    assert code == 2 and "train" in out + err


def test_an_empty_folder(refused, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "empty").mkdir()
    for words in (
        ["data", "info", tmp_path / "empty"],
        ["train", "--data", tmp_path / "empty", "--model", "oc-ae", "--out", tmp_path / "o"],
    ):
        assert "empty" in refused(*words)


def test_no_folder(refused, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    assert "does not exist" in refused("data", "info", tmp_path / "nowhere")


def test_a_file_in_a_command_s_place(refused, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "my photo.jpg").write_bytes(jpeg(draw_face(1)))
    line = refused(tmp_path / "my photo.jpg", "--report", "page")
    assert line.endswith(f"(to scan it: verovolto scan '{tmp_path / 'my photo.jpg'}' --report page)")
    assert "to scan it" not in refused("scna", "a.jpg")


def test_wrong_columns(refused, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "a.jpg").write_bytes(jpeg(draw_face(1)))
    (tmp_path / "manifest.csv").write_text("file,klass\na.jpg,real\n")
    assert "manifest.csv" in refused("data", "info", tmp_path)


def test_a_shared_identity(refused, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    data = write_set(tmp_path / "faces", train=12, people=4)
    (data / "manifest.csv").write_text((data / "manifest.csv").read_text().replace("val0,", "train0,"))
    assert "train0" in refused("train", "--data", data, "--model", "oc-ae", "--out", tmp_path / "run", *SMALL)
    assert "train0" in refused("data", "split", data, "--check")


def test_a_size_the_model_cannot_take(refused, face_set: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    line = refused(
        "train", "--data", face_set, "--model", "resnet-ocvae2", "--size", 100, "--out", tmp_path / "run"
    )
    assert "size 100 does not fit a ResNet" in line and "multiple of 32" in line
    assert not (tmp_path / "run").exists()


def test_missing_weights_leave_no_run_behind(  # type: ignore[no-untyped-def]
    refused, run, face_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    def offline(*_args: object, **_options: object) -> None:
        (tmp_path / "run" / "weights").mkdir(parents=True)  # as torch.hub does first of all
        raise OSError("no network")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr("torchvision.models.ResNet18_Weights.get_state_dict", offline)
    words = (
        "train",
        "--data",
        face_set,
        "--model",
        "resnet-ocvae1",
        "--out",
        tmp_path / "run",
        "--size",
        32,
        *SMALL[2:],
    )
    assert "--weights none" in refused(*words)
    code, _, err = run(*words, "--weights", "none")
    assert code == 0, err


def test_unreadable_images_past_the_share(refused, run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    data = write_set(tmp_path / "faces", train=12, people=4)
    whole = (data / "train" / "real" / "001.jpg").read_bytes()
    (data / "train" / "real" / "001.jpg").write_bytes(whole[: len(whole) // 2])
    line = refused("train", "--data", data, "--model", "oc-ae", "--out", tmp_path / "run", *SMALL)
    assert "001.jpg" in line and "--max-unreadable" in line
    code, out, _ = run(
        "train",
        "--data",
        data,
        "--model",
        "oc-ae",
        "--out",
        tmp_path / "run",
        *SMALL,
        "--max-unreadable",
        0.2,
    )
    assert code == 2, "the share is part of the configuration of a run"
    code, out, _ = run(
        "train",
        "--data",
        data,
        "--model",
        "oc-ae",
        "--out",
        tmp_path / "run2",
        *SMALL,
        "--max-unreadable",
        0.2,
    )
    assert code == 0 and "001.jpg" in out


def test_a_detector_of_another_version_and_a_tampered_one(
    refused, trained: Path, face_set: Path, tmp_path: Path
) -> None:  # type: ignore[no-untyped-def]
    shutil.copytree(trained / "detector", tmp_path / "newer")
    shutil.copytree(trained / "detector", tmp_path / "tampered")
    description = json.loads((tmp_path / "newer" / JSON_NAME).read_text())
    (tmp_path / "newer" / JSON_NAME).write_text(json.dumps(description | {"schema_version": 2}))
    with (tmp_path / "tampered" / WEIGHTS_NAME).open("ab") as handle:
        handle.write(b"x")
    rest = ("--data", face_set, "--out", tmp_path / "out")
    assert "schema version 2" in refused("evaluate", tmp_path / "newer", *rest)
    assert "changed or damaged" in refused("evaluate", tmp_path / "tampered", *rest)
    assert not (tmp_path / "out").exists()


def test_a_false_alarm_rate_the_sample_cannot_support(
    refused, trained: Path, face_set: Path, tmp_path: Path
) -> None:  # type: ignore[no-untyped-def]
    line = refused("evaluate", trained, "--data", face_set, "--out", tmp_path / "out", "--false-alarm", 0.001)
    assert "999" in line


def test_a_full_disk(refused, face_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("verovolto.core.files.os.fsync", full)
    line = refused("train", "--data", face_set, "--model", "oc-ae", "--out", tmp_path / "run", *SMALL)
    assert "disk is full" in line


def test_models_are_listed(run) -> None:  # type: ignore[no-untyped-def]
    code, out, _ = run("models")
    assert code == 0
    for word in (
        "resnet-ocvae-latent",
        "41,644,288",
        "22,876,416",
        "23,729,776",
        "13,895,827",
        "Khalid",
        "region-discriminant",
    ):
        assert word in out


def test_a_wrong_flag_is_one_line(refused, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    assert "--data" in refused("train") and "verovolto train --help" in refused("train")
    assert "oc-ae" in refused("train", "--data", tmp_path, "--out", tmp_path / "o", "--model", "foo")
    assert "info" in refused("data", "inf")


def test_a_set_without_splits_is_sent_to_data_split_and_then_trains(refused, run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    for label in ("real", "fake"):
        (tmp_path / "plain" / label).mkdir(parents=True)
        for i in range(40):
            (tmp_path / "plain" / label / f"{i:02}.jpg").write_bytes(jpeg(draw_face(i, size=16)))
    rest = ("--model", "oc-ae", "--out", tmp_path / "run", *SMALL)
    assert "verovolto data split" in refused("train", "--data", tmp_path / "plain", *rest)
    cut = tmp_path / "cut.parquet"
    code, _, err = run("data", "split", tmp_path / "plain", cut, "--train", 0.4, "--val", 0.4, "--test", 0.2)
    assert code == 0, err
    code, out, err = run("train", "--data", cut, *rest)
    assert code == 0, err
    # What it says to do next works, at a false-alarm rate that so few faces support.
    words = next(line for line in out.splitlines() if line.startswith("next: ")).split()[2:]
    code, _, err = run(*words, "--resamples", 20)
    assert code == 0, err


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("--lr", "nan"),
        ("--beta", "inf"),
        ("--seed", 2**70),
        ("--threads", 100_000),
        ("--max-unreadable", 3),
        ("--val-split", "train"),
        ("--score", "nonsense"),
    ],
)
def test_values_that_make_no_sense(refused, face_set: Path, tmp_path: Path, flag: str, value: object) -> None:  # type: ignore[no-untyped-def]
    small = dict(zip(SMALL[::2], SMALL[1::2], strict=True)) | {flag: value}
    words = [word for pair in small.items() for word in pair]
    line = refused("train", "--data", face_set, "--model", "oc-ae", "--out", tmp_path / "run", *words)
    assert flag in line
    assert not (tmp_path / "run").exists()


def test_an_out_that_cannot_be(refused, trained: Path, face_set: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    file = tmp_path / "file"
    file.write_text("x")
    for out in (file, file / "below"):
        assert str(file) in refused("train", "--data", face_set, "--model", "oc-ae", "--out", out, *SMALL)
        assert str(file) in refused("evaluate", trained, "--data", face_set, "--out", out)
        assert str(file) in refused("data", "convert", face_set, out)
    assert str(file) in refused("data", "split", face_set, file / "cut.parquet")
    assert str(file) in refused("data", "info", face_set, "--sheet", file / "sheet.png")


def test_what_cannot_be_judged_is_refused_before_it_is_scored(  # type: ignore[no-untyped-def]
    refused, trained: Path, face_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def scored(*_args: object, **_options: object) -> None:
        raise AssertionError("the faces were scored")

    monkeypatch.setattr("verovolto.detectors.score_faces.score_faces", scored)
    rest = ("--data", face_set, "--out", tmp_path / "out")
    assert "999" in refused("evaluate", trained, *rest, "--false-alarm", 0.001)
    assert "rmse" in refused("evaluate", trained, *rest, "--score", "nonsense")
    assert "--batch-size" in refused("evaluate", trained, *rest, "--batch-size", 0)
    assert "--max-unreadable" in refused("evaluate", trained, *rest, "--max-unreadable", 7)
    assert "--seed" in refused("evaluate", trained, *rest, "--seed", -1)


def test_of_reals_alone_the_false_alarms_are_told_and_that_they_were_trained_on(  # type: ignore[no-untyped-def]
    run, trained: Path, face_set: Path, tmp_path: Path
) -> None:
    code, out, err = run("evaluate", trained, "--data", face_set, "--split", "train", "--out", tmp_path)
    assert code == 0 and "no fakes: how many fakes are found cannot be said" in out and "flatter" in err
    assert (tmp_path / "metrics.json").is_file() and not (tmp_path / "report.html").exists()


@pytest.mark.parametrize(("split", "warned"), [("val", True), ("all", True), ("test", False)])
def test_judging_faces_that_were_trained_or_calibrated_on_is_said(  # type: ignore[no-untyped-def]
    run, trained: Path, face_set: Path, tmp_path: Path, split: str, warned: bool
) -> None:
    words = ("evaluate", trained, "--data", face_set, "--split", split, "--out", tmp_path, "--resamples", 20)
    code, _, err = run(*words)
    assert code == 0, err
    assert ("flatter" in err) == warned
    assert ("flatter" in (tmp_path / "report.html").read_text()) == warned


def test_a_state_that_was_cut_off_leaves_the_run_as_it_was(refused, face_set: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    from verovolto.training.config import configure
    from verovolto.training.fit import run as run_training

    small = {"size": 8, "latent": 4, "batch_size": 8, "threads": 1, "precision": "32"}
    out = tmp_path / "run"
    run_training(configure(data=face_set, model="oc-ae", out=out, epochs=1, **small))  # type: ignore[arg-type]
    last = out / "checkpoints" / "last.ckpt"
    whole = last.read_bytes()
    words = ("train", "--data", face_set, "--model", "oc-ae", "--out", out, *SMALL[:4], *SMALL[6:])
    for damaged in (whole[: len(whole) // 2], b"", b"text"):
        last.write_bytes(damaged)
        line = refused(*words, "--epochs", 2)
        assert str(last) in line and "delete this file" in line
    assert (out / "detector" / JSON_NAME).is_file()
    assert "epochs = 1\n" in (out / "config.toml").read_text()


def test_a_run_folder_that_lost_a_file(refused, trained: Path, face_set: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    words = ("train", "--data", face_set, "--model", "oc-ae", *SMALL)
    out = tmp_path / "run"
    shutil.copytree(trained, out)
    config = (out / "config.toml").read_text().replace('"bf16"', '"32"')
    (out / "config.toml").write_text('model = "oc-ae"\n')
    assert "config.toml has no data" in refused(*words, "--out", out)
    (out / "config.toml").unlink()
    assert "config.toml is missing" in refused(*words, "--out", out)
    (out / "config.toml").write_text(config)
    (out / "detector" / JSON_NAME).unlink()
    (out / "run.json").unlink()
    assert "run.json" in refused(*words, "--out", out)


def test_tables_of_scores_written_oddly(refused, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    file = tmp_path / "scores.csv"
    file.write_text("score;label\n1;real\n2;fake\n")
    assert "semicolons" in refused("evaluate", "--scores", file, "--out", tmp_path / "out")
    file.write_text("score,label,score\n1,real,2\n2,fake,3\n")
    assert "twice" in refused("evaluate", "--scores", file, "--out", tmp_path / "out")


def test_manifests_written_oddly(refused, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    manifest = tmp_path / "manifest.csv"
    for mark, name in ((";", "semicolons"), ("\t", "tabs")):
        manifest.write_text(f"path{mark}label\na.jpg{mark}real\n")
        assert name in refused("data", "info", tmp_path)
    manifest.write_text("path,label\na.jpg,real\n", encoding="utf-16")
    assert "UTF-8" in refused("data", "info", tmp_path)
    assert "--seed" in refused("data", "info", tmp_path, "--seed", -1)
    (tmp_path / "faceset.json").write_text('{"crop_rule": 3}')
    manifest.write_text("path,label\na.jpg,real\n")
    (tmp_path / "a.jpg").write_bytes(jpeg(draw_face(1)))
    assert "crop_rule" in refused("data", "info", tmp_path)


def test_results_that_cannot_be_compared(refused, tmp_path: Path, run) -> None:  # type: ignore[no-untyped-def]
    scores = tmp_path / "scores.csv"
    scores.write_text("score,label\n" + "".join(f"{i},{'real' if i % 3 else 'fake'}\n" for i in range(30)))
    for name in ("a", "b"):
        assert run("evaluate", "--scores", scores, "--out", tmp_path / name, "--resamples", 20)[0] == 0
    both = ("compare", tmp_path / "a", tmp_path / "b")
    assert "--resamples" in refused(*both, "--resamples", -1)
    assert "is a file" in refused(*both, "--out", scores)
    for broken in ("{", "[]"):
        (tmp_path / "b" / "metrics.json").write_text(broken)
        assert "metrics.json is damaged" in refused(*both)


def test_no_models_of_size_zero(refused) -> None:  # type: ignore[no-untyped-def]
    assert "--size 0" in refused("models", "--size", 0)


def test_a_training_interrupted_by_its_user_says_how_it_goes_on(  # type: ignore[no-untyped-def]
    run, face_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from verovolto.training.callbacks import CsvLog

    append = CsvLog._append

    def interrupt(self: CsvLog, row: dict[str, float]) -> None:
        append(self, row)
        if row["epoch"] == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(CsvLog, "_append", interrupt)
    words = (
        "train",
        "--data",
        face_set,
        "--model",
        "oc-ae",
        "--out",
        tmp_path / "run",
        *SMALL[:4],
        *SMALL[6:],
    )
    code, _, err = run(*words, "--epochs", 2)
    assert code == 130
    assert err.splitlines()[-1].startswith("error: interrupted (the same command goes on from ")
    monkeypatch.setattr(CsvLog, "_append", append)
    code, _, err = run(*words, "--epochs", 2)
    assert code == 0, err


@pytest.mark.parametrize(
    ("model", "flag", "users"),
    [
        ("region-discriminant", "--epochs", "oc-ae"),
        ("region-discriminant", "--vae.latent", "oc-ae"),
        ("oc-ae", "--padim.channels", "padim"),
        ("oc-ae", "--channels", "padim"),
        ("patchcore", "--channels", "padim"),
        ("mahalanobis", "--size", "region-discriminant"),
        ("resnet-ocvae2", "--region-discriminant.forgeries", "region-discriminant"),
    ],
)
def test_a_flag_that_the_model_makes_nothing_of_says_which_do(  # type: ignore[no-untyped-def]
    refused, face_set: Path, tmp_path: Path, model: str, flag: str, users: str
) -> None:
    line = refused("train", "--data", face_set, "--out", tmp_path / "run", "--model", model, flag, 8)
    assert f"{model} makes nothing of {flag}" in line and users in line
    assert not (tmp_path / "run").exists()


def test_flags_of_a_group_and_their_plain_names_are_the_same(run, face_set: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    small = ("--batch-size", 8, "--threads", 1, "--epochs", 1, "--precision", 32, "--data", face_set)
    for name, flags in (("new", ("--vae.size", 8, "--vae.latent", 4)), ("old", ("--size", 8, "--latent", 4))):
        code, _, err = run("train", "--model", "oc-ae", "--out", tmp_path / name, *small, *flags)
        assert code == 0, err
    new, old = ((tmp_path / name / "config.toml").read_text() for name in ("new", "old"))
    assert new == old.replace("old", "new")


def test_a_nested_toml_file(run, refused, face_set: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    file = tmp_path / "run.toml"
    text = f'data = "{face_set}"\nmodel = "oc-ae"\nepochs = 1\nbatch_size = 8\n[vae]\nsize = 8\nlatent = 4\n'
    file.write_text(text)
    code, _, err = run("train", "--config", file, "--out", tmp_path / "run")
    assert code == 0, err
    assert "size = 8\n" in (tmp_path / "run" / "config.toml").read_text()
    file.write_text(text + "[padim]\nchannels = 3\n")
    assert "padim" in refused("train", "--config", file, "--out", tmp_path / "other")


def test_options_of_other_models_in_a_file_of_all_options(
    run, refused, face_set: Path, tmp_path: Path
) -> None:  # type: ignore[no-untyped-def]
    """Version 0.1.0 wrote them all; those left out are passed over, those given are refused."""
    file = tmp_path / "run.toml"
    text = f'data = "{face_set}"\nmodel = "oc-ae"\nsize = 8\nlatent = 4\nepochs = 1\nbatch_size = 8\nthreads = 1\n'
    file.write_text(text + 'channels = 100\nweights = "none"\nwear = 1.0\n')
    code, _, err = run("train", "--config", file, "--out", tmp_path / "run")
    assert code == 0, err
    file.write_text(text + "channels = 99\n")
    assert "padim" in refused("train", "--config", file, "--out", tmp_path / "other")


def test_cuda_that_is_not_there_is_refused_by_every_model(refused, face_set: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is one here")
    for model in ("oc-ae", "padim", "region-discriminant", "resnet-ocvae2-blend"):
        words = ("train", "--data", face_set, "--out", tmp_path / "run", "--model", model, "--device", "cuda")
        assert "no CUDA device" in refused(*words)


def test_faces_that_cannot_be_read_are_not_counted_as_trained_on(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    data = write_set(tmp_path / "faces", train=12, people=4)
    (data / "train" / "real" / "003.jpg").write_bytes(b"broken")
    more = {
        "oc-ae": (*SMALL[:6], "--batch-size", 4, *SMALL[8:]),
        "mahalanobis": ("--workers", 0, "--threads", 1),
    }
    for model, flags in more.items():
        words = ("--data", data, "--model", model, "--out", tmp_path / model, "--max-unreadable", 0.2)
        code, out, err = run("train", *words, *flags)
        assert code == 0, err
        assert "trained on 11 real faces" in out
