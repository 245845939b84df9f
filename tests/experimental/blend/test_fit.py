"""Training two heads: it learns, resumes to the bit, and never reads a fake."""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from tests.conftest import Command, draw_face, write_set
from tests.experimental.blend.tiny import use_tiny_networks
from tests.training.resume import (
    assert_same_weights,
    copied_at_each_save,
    killed_in_training,
    log_without_times,
)
from verovolto import Detector
from verovolto.core.errors import DataError, InputError, TrainingError
from verovolto.data.crop_rule import TIGHT
from verovolto.detectors.registry import TrainConfig
from verovolto.experimental.blend import fit as two_heads
from verovolto.experimental.blend import pair_store
from verovolto.experimental.blend.detector import BLEND, RMSE, BlendDetector
from verovolto.experimental.blend.fit import LEFT_OUT, TRAINED_ON
from verovolto.experimental.blend.pair_store import Asked, DrawnPairs
from verovolto.training import fit as frame
from verovolto.training.config import configure
from verovolto.training.data import load_training_data
from verovolto.training.fit import resolved, run


def config(data: Path, out: Path, **changes: Any) -> TrainConfig:
    settings = {
        "model": "resnet-ocvae2-blend", "crop_rule": "tight", "forgeries": 10, "size": 32, "latent": 8, "batch_size": 4,
        "epochs": 2, "workers": 0, "threads": 1, "seed": 1, "precision": "32",
    }  # fmt: skip
    return configure(data=data, out=out, **{**settings, **changes})


def train(given: TrainConfig, **options: Any) -> BlendDetector:
    loaded = Detector.load(run(given, **options))
    assert isinstance(loaded, BlendDetector)
    return loaded


def assert_same(one: BlendDetector, other: BlendDetector) -> None:
    ours, theirs = one.model.state_dict(), other.model.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert (
        one.calibration[one.default_score].values.tolist()
        == other.calibration[one.default_score].values.tolist()
    )


@pytest.fixture(autouse=True)
def _drawn_faces_and_tiny_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(monkeypatch)


def prepare(monkeypatch: pytest.MonkeyPatch) -> None:
    """No face detector takes a drawing for a face; where its eyes and mouth are is known."""

    def known(faces: Any, *_: Any, **__: Any) -> NDArray[np.float32]:
        points = np.array([[78.0, 90], [146, 90], [112, 120], [88, 160], [136, 160]], dtype=np.float32)
        return points + np.random.default_rng(0).normal(0, 3, (len(faces), 5, 2)).astype(np.float32)

    monkeypatch.setattr(pair_store, "crop_landmarks", known)
    use_tiny_networks(monkeypatch)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("small"), train=12, people=4)


@pytest.fixture(scope="module")
def pairs_of_seed_1(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where tests that are not about drawing share their pairs."""
    return tmp_path_factory.mktemp("pairs")


def planted(asked: Asked) -> DrawnPairs:
    """Drawn faces, each with a forgery that has a flat square in its upper left quarter."""
    rows = []
    for number in range(asked.count):
        picture = draw_face(asked.seed * 1000 + number + 7 * len(asked.kinds), size=asked.size)
        real = np.asarray(picture).transpose(2, 0, 1).copy()
        fake, mask = real.copy(), np.zeros((asked.mask_size,) * 2, np.uint8)
        side = asked.size // 2
        fake[:, :side, :side] = 128
        mask[: asked.mask_size // 2, : asked.mask_size // 2] = 255
        rows.append(np.concatenate([real.ravel(), fake.ravel(), mask.ravel()]))
    return DrawnPairs(asked=asked, rows=np.stack(rows), unreadable=0)


def test_it_learns_where_a_blend_was_planted(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(two_heads, "draw_pairs", lambda _faces, asked, _folder, **_: planted(asked))
    detector = train(
        config(small, tmp_path / "run", forgeries=96, epochs=8, batch_size=8, lr=3e-3, flips="none")
    )
    pairs = planted(Asked(count=12, kinds=TRAINED_ON, size=32, mask_size=8, seed=5))
    batch = pairs.batch(np.arange(12))
    real, fake = (detector.score(list(images)) for images in (batch.real, batch.fake))
    assert int((fake[BLEND] > real[BLEND]).sum()) >= 11
    shown = detector.explain(list(batch.fake)).anomaly_map
    assert roc_auc_score(batch.mask.flatten() > 0, shown.flatten()) > 0.9
    with (tmp_path / "run/metrics.csv").open() as handle:
        rows = list(csv.DictReader(handle))
    assert len(rows) == 8 and float(rows[-1]["train_elbo"]) < float(rows[0]["train_elbo"])
    best = max(range(8), key=lambda n: (float(rows[n]["left_out_auroc"]), -float(rows[n]["left_out_map"])))
    assert detector.metadata["epoch"] == 1 + best


def test_a_run_gives_a_calibrated_detector_and_leaves_no_faces(small: Path, tmp_path: Path) -> None:
    detector = train(config(small, tmp_path / "run"))
    assert detector.name == "resnet-ocvae2-blend" and detector.crop_rule == TIGHT.to_dict()
    assert detector.score_names == (BLEND, RMSE) and set(detector.calibration) == {BLEND, RMSE}
    assert detector.domain.ranges and detector.metadata["forgeries"] == 10
    assert set(detector.metadata["kinds"]).isdisjoint(detector.metadata["left_out"])
    there = sorted(path.name for path in (tmp_path / "run").iterdir())
    assert there == ["checkpoints", "config.toml", "detector", "metrics.csv", "run.json", "tensorboard"]
    assert not list((tmp_path / "run").rglob("*.npy"))


@pytest.mark.parametrize(("left_away", "score"), [("reconstruction", BLEND), ("blend", RMSE)])
def test_one_head_alone(
    left_away: str, score: str, small: Path, tmp_path: Path, pairs_of_seed_1: Path
) -> None:
    out = tmp_path / "run"
    asked = config(small, out, **{f"{left_away}_weight": 0.0})
    detector = train(asked, work=pairs_of_seed_1)
    assert detector.score_names == (score,) and detector.default_score == score
    with (out / "metrics.csv").open() as handle:
        columns = set(next(csv.reader(handle)))
    assert ("left_out_auroc" in columns) == (score == BLEND) and ("val_loss" in columns) == (score == RMSE)
    torch.manual_seed(1)
    untouched = two_heads.network(resolved(asked).method).state_dict()  # type: ignore[arg-type]
    own = "blend." if score == RMSE else "decoder."
    trained = detector.model.state_dict()
    assert all(torch.equal(trained[name], untouched[name]) for name in trained if name.startswith(own))
    assert not all(torch.equal(trained[name], untouched[name]) for name in trained)


def test_fakes_are_never_read(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A set whose fakes are no images trains the same; only the calibration, which tells the share of known fakes
    that is missed, would read them, and is made of reals here."""
    broken = write_set(tmp_path / "broken", train=12, people=4)
    for path in broken.glob("*/fake/*.jpg"):
        path.write_bytes(b"no image")
    real = frame.calibrated
    monkeypatch.setattr(
        frame, "calibrated", lambda one, faces, seed: real(one, faces.select(label="real"), seed=seed)
    )
    one, other = (train(config(data, tmp_path / name)) for data, name in ((small, "a"), (broken, "b")))
    assert_same(one, other)


def test_stopped_at_any_step_it_ends_the_same(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(config(small, tmp_path / "whole", epochs=3))
    out = tmp_path / "run"

    def interrupted(owner: Any, name: str, call: int) -> None:
        """The command, killed at this call of a function."""
        real, calls = getattr(owner, name), iter(range(1000))

        def stopped(*words: Any, **named: Any) -> Any:
            if next(calls) == call:
                raise KeyboardInterrupt
            return real(*words, **named)

        with monkeypatch.context() as patch:
            patch.setattr(owner, name, stopped)
            with pytest.raises(KeyboardInterrupt):
                train(config(small, out, epochs=3))

    interrupted(pair_store, "pair", 4)
    interrupted(pair_store, "pair", 12)  # the left-out ones
    interrupted(two_heads, "ranking_error", 1)  # in the first epoch
    interrupted(two_heads, "ranking_error", 3)  # in the second
    interrupted(two_heads, "roc_auc_score", 0)  # after it
    interrupted(frame, "calibrated", 0)
    assert_same(train(config(small, out, epochs=3)), whole)
    assert (out / "metrics.csv").read_text().count("\n") == 4


def test_resumed_from_any_step_it_ends_bit_equal(small: Path, tmp_path: Path, pairs_of_seed_1: Path) -> None:
    options = {"checkpoint_steps": 1, "checkpoint_epochs": 1, "patience": 5, "kl_warmup": 3, "clip_norm": 1.0}
    whole, left = copied_at_each_save(
        tmp_path, lambda out: run(config(small, out, **options), work=pairs_of_seed_1)
    )
    assert len(left) == 6  # 2 epochs of 2 steps, each step and each epoch's end
    for each in left:
        run(config(small, each, **options), work=pairs_of_seed_1)
        assert_same_weights(whole, each)
        assert log_without_times(whole) == log_without_times(each)


def test_killed_and_resumed_it_ends_bit_equal(small: Path, tmp_path: Path) -> None:
    """SIGKILL, in a process of its own, in mid-epoch."""
    options = {"epochs": 8, "checkpoint_steps": 1, "checkpoint_epochs": 1, "precision": "bf16"}
    run(config(small, tmp_path / "whole", **options))
    code = (
        "import sys; from pathlib import Path; import pytest; from tests.experimental.blend import test_fit\n"
        "test_fit.prepare(pytest.MonkeyPatch())\n"
        f"test_fit.run(test_fit.config(Path({str(small)!r}), Path({str(tmp_path / 'killed')!r}), **{options!r}))"
    )
    killed_in_training([sys.executable, "-c", code], tmp_path / "killed")
    run(config(small, tmp_path / "killed", **options))
    assert_same_weights(tmp_path / "whole", tmp_path / "killed")


def test_a_finished_run_goes_on_when_more_epochs_are_asked_for(
    small: Path, tmp_path: Path, pairs_of_seed_1: Path
) -> None:
    out = tmp_path / "run"
    train(config(small, out), work=pairs_of_seed_1)
    before = (out / "detector/model.safetensors").stat().st_mtime_ns
    train(config(small, out), work=pairs_of_seed_1)
    assert (out / "detector/model.safetensors").stat().st_mtime_ns == before
    longer = train(config(small, out, epochs=3), work=pairs_of_seed_1)
    assert_same(longer, train(config(small, tmp_path / "whole", epochs=3), work=pairs_of_seed_1))
    with pytest.raises(TrainingError, match=r"blend_weight was 1\.0, is 2\.0"):
        train(config(small, out, blend_weight=2.0), work=pairs_of_seed_1)


def test_it_stops_when_no_epoch_is_better(
    small: Path, tmp_path: Path, pairs_of_seed_1: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(two_heads, "roc_auc_score", lambda _labels, _scores: 0.5)
    answers = iter([True])  # of the second epoch, then of none
    monkeypatch.setattr(two_heads.BlendObjective, "better", lambda *_: next(answers, False))
    train(config(small, tmp_path / "run", epochs=9, patience=2), work=pairs_of_seed_1)
    with (tmp_path / "run/metrics.csv").open() as handle:
        assert [int(row["epoch"]) for row in csv.DictReader(handle)] == [0, 1, 2, 3]


def test_pairs_are_a_function_of_what_is_asked_and_another_request_is_refused(
    small: Path, tmp_path: Path
) -> None:
    faces = load_training_data(config(small, tmp_path / "x")).train
    options: dict[str, Any] = {"workers": 0, "max_unreadable": 0.0, "task": lambda *_: lambda _: None}

    def asked(**changes: Any) -> Asked:
        return Asked(
            **{"count": 4, "kinds": ("pca", "swap"), "size": 32, "mask_size": 8, "seed": 0, **changes}
        )

    one = pair_store.draw_pairs(faces, asked(), tmp_path / "a", **options)
    other = pair_store.draw_pairs(faces, asked(), tmp_path / "b", **options)
    assert np.array_equal(one.rows, other.rows) and len(one) == 4
    real, fake, mask = one.batch(np.array([2, 0]))
    assert real.shape == fake.shape == (2, 3, 32, 32) and mask.shape == (2, 8, 8)
    assert torch.equal(one.batch(np.array([0]))[0][0], real[1])
    inside = mask.repeat_interleave(4, 1).repeat_interleave(4, 2)
    change = (real.float() - fake.float()).abs().mean(1)
    outside = 1 - inside
    assert (change * inside).sum() / inside.sum() > 2 * (change * outside).sum() / outside.sum()
    with pytest.raises(InputError, match=r"other pairs \(seed differ\)"):
        pair_store.draw_pairs(faces, asked(seed=1), tmp_path / "a", **options)


def test_unreadable_faces_past_the_share_stop_it(tmp_path: Path) -> None:
    data = write_set(tmp_path / "set", train=12, people=4)
    (data / "train/real/003.jpg").write_bytes(b"broken")
    with pytest.raises(DataError, match=r"1 of 12 faces cannot be read.*003.jpg"):
        train(config(data, tmp_path / "a"))
    assert train(config(data, tmp_path / "b", max_unreadable=0.2)).metadata["unreadable"] == 1


def test_a_loss_that_is_no_number_says_what_to_do(
    small: Path, tmp_path: Path, pairs_of_seed_1: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        two_heads, "blend_map_error", lambda logits, _: logits.flatten(1).mean(1) * float("nan")
    )
    with pytest.raises(TrainingError, match="the loss is nan at epoch 0, step 0"):
        train(config(small, tmp_path / "run"), work=pairs_of_seed_1)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"blend_weight": 0.0, "reconstruction_weight": 0.0}, "both 0"),
        ({"blend_weight": float("inf")}, "--blend-weight inf is no finite number"),
        ({"reconstruction_weight": -1.0}, r"--reconstruction-weight -1\.0 is below 0"),
    ],
)
def test_weights_that_make_no_sense(small: Path, tmp_path: Path, wrong: dict[str, float], said: str) -> None:
    with pytest.raises(InputError, match=said):
        config(small, tmp_path, **wrong)


def test_a_score_whose_head_is_not_trained_is_refused_at_once(small: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="rmse"):
        train(config(small, tmp_path / "run", score="rmse", reconstruction_weight=0.0))
    assert not (tmp_path / "run").exists()


def test_the_commands_know_it(command_line: Command, small: Path, tmp_path: Path) -> None:
    words = "--crop-rule tight --forgeries 8 --size 32 --epochs 1 --batch-size 4 --workers 0 --threads 1"
    code, out, err = command_line(
        "train",
        "--data",
        small,
        "--model",
        "resnet-ocvae2-blend",
        "--out",
        tmp_path / "run",
        *words.split(" "),
    )
    assert code == 0, err
    assert "8 forgeries made of them" in out
    code, _, err = command_line(
        "evaluate", tmp_path / "run", "--data", small, "--out", tmp_path / "test", "--false-alarm", 0.3
    )
    assert code == 0, err
    assert (tmp_path / "test/report.html").is_file()
    assert "resnet-ocvae2-blend" in command_line("models")[1]


def test_kinds_left_out_are_not_trained_on() -> None:
    assert set(LEFT_OUT).isdisjoint(TRAINED_ON) and len(LEFT_OUT) + len(TRAINED_ON) == len(
        set(LEFT_OUT + TRAINED_ON)
    )
