"""Training: what is killed goes on bit-equal, what is wrong stops with a clear word."""

from __future__ import annotations

import errno
import io
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conftest import full_disk, write_set
from tests.training.resume import (
    assert_same_weights,
    copied_at_each_save,
    killed_in_training,
    log_without_times,
    weights,
)
from verovolto import Detector
from verovolto.core.errors import DataError, InputError, SplitError, TrainingError
from verovolto.data.crop_rule import FFPP, TIGHT, WIDE, Look
from verovolto.data.faceset import FaceSet
from verovolto.detectors.base import load_detector
from verovolto.detectors.fitting import Key
from verovolto.detectors.registry import TrainConfig, flat
from verovolto.detectors.vae.fit import TrainingFaces
from verovolto.training import callbacks
from verovolto.training.callbacks import read_log
from verovolto.training.config import configure
from verovolto.training.data import EpochSampler, load_training_data
from verovolto.training.fit import derive, resolved, run
from verovolto.training.run_metadata import LAST, stored_config


def tiny(data: Path, out: Path, **changes: Any) -> TrainConfig:
    settings = {
        "model": "oc-fakedect1", "size": 8, "latent": 4, "epochs": 2, "batch_size": 8, "threads": 1, "seed": 3,
        "checkpoint_steps": 1, "checkpoint_epochs": 1, "precision": "32", "device": "cpu",
    }  # fmt: skip
    return configure(data=data, out=out, **{**settings, **changes})


@pytest.mark.parametrize("model", ["resnet-ocvae1", "resnet-ocvae2", "oc-fakedect2", "oc-ae"])
def test_a_run_folder_is_complete(model: str, face_set: Path, tmp_path: Path) -> None:
    size = 32 if model.startswith("resnet") else 8
    config = tiny(
        face_set,
        tmp_path / "run",
        model=model,
        size=size,
        weights="none",
        epochs=1,
        second_encoder="separate",
    )
    out = run(config)
    assert {p.name for p in out.iterdir()} == {
        "checkpoints",
        "config.toml",
        "detector",
        "metrics.csv",
        "run.json",
        "tensorboard",
    }
    assert {p.name for p in (out / "checkpoints").iterdir()} == {LAST, "best.ckpt", "epoch=0000.ckpt"}
    assert list((out / "tensorboard").glob("events.*"))
    assert stored_config(out) == resolved(config)
    detector = Detector.load(out)
    assert detector.name == model and detector.metadata["trained_on"]["faces"] == 24
    assert detector.metadata["calibrated_on"]["real"] + len(load_training_data(config).choose) == 24
    rows = read_log(out / "metrics.csv")
    assert len(rows) == 1 and float(rows[0]["val_rmse"]) > 0 and rows[0]["step"] == "3"


@pytest.fixture(scope="module")
def unbroken(face_set: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Path]]:
    """See `copied_at_each_save`."""
    root = tmp_path_factory.mktemp("unbroken")
    return copied_at_each_save(
        root, lambda out: run(tiny(face_set, out, patience=5, kl_warmup=4, clip_norm=1e4))
    )


@pytest.mark.parametrize("moment", range(8))
def test_resumed_from_any_step_it_ends_bit_equal(
    unbroken: tuple[Path, list[Path]], face_set: Path, moment: int
) -> None:
    whole, left = unbroken
    assert len(left) == 8  # 2 epochs of 3 steps, each step and each epoch's end
    run(tiny(face_set, left[moment], patience=5, kl_warmup=4, clip_norm=1e4))
    assert_same_weights(whole, left[moment])
    assert log_without_times(whole) == log_without_times(left[moment])


def test_a_run_in_less_memory_ends_bit_equal(face_set: Path, tmp_path: Path) -> None:
    for name, recompute in (("whole", False), ("less", True)):
        run(tiny(face_set, tmp_path / name, model="resnet-ocvae2", size=32, recompute=recompute, epochs=1))
    assert_same_weights(tmp_path / "whole", tmp_path / "less")


@pytest.mark.parametrize("workers", [0, 2])
def test_killed_and_resumed_it_ends_bit_equal(face_set: Path, tmp_path: Path, workers: int) -> None:
    """SIGKILL, in a process of its own, in mid-epoch."""
    kill_and_resume(face_set, tmp_path, workers)


@pytest.mark.data
def test_killed_and_resumed_on_real_faces(real_data: Path, tmp_path: Path) -> None:
    kill_and_resume(real_data / "dfdc-faces", tmp_path, 0, limit=200)


@pytest.mark.gpu
def test_killed_and_resumed_on_a_gpu(face_set: Path, tmp_path: Path) -> None:
    """OC-FakeDect alone: the bilinear upsampling of the other networks has no deterministic backward pass there."""
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    kill_and_resume(face_set, tmp_path, 0, device="cuda")


def kill_and_resume(data: Path, tmp_path: Path, workers: int, limit: int = 24, device: str = "cpu") -> None:
    flags = {"epochs": 8, "workers": workers, "precision": "bf16", "limit": limit, "device": device}
    run(tiny(data, tmp_path / "whole", **flags))
    command = [
        sys.executable, "-m", "verovolto", "train", "--data", str(data), "--out", str(tmp_path / "killed"),
        "--model", "oc-fakedect1", "--size", "8", "--latent", "4", "--epochs", "8", "--batch-size", "8", "--threads",
        "1", "--seed", "3", "--checkpoint-steps", "1", "--checkpoint-epochs", "1", "--precision", "bf16", "--device",
        device, "--workers", str(workers), "--limit", str(limit),
    ]  # fmt: skip
    killed_in_training(command, tmp_path / "killed")
    run(tiny(data, tmp_path / "killed", **flags))
    assert_same_weights(tmp_path / "whole", tmp_path / "killed")


def test_the_crop_rule_of_a_set_goes_with_the_detector(face_set: Path, tmp_path: Path) -> None:
    run(tiny(face_set, tmp_path / "run", crop_rule="tight", epochs=1))
    assert load_detector(tmp_path / "run").preprocessing.crop_rule == TIGHT.to_dict()
    shutil.copytree(face_set, tmp_path / "set")
    (tmp_path / "set/faceset.json").write_text(json.dumps({"crop_rule": FFPP.to_dict()}))
    assert load_training_data(tiny(tmp_path / "set", tmp_path / "a")).crop_rule == FFPP.to_dict()
    assert (
        load_training_data(tiny(tmp_path / "set", tmp_path / "a", crop_rule="ffpp")).crop_rule
        == FFPP.to_dict()
    )
    with pytest.raises(InputError, match="--crop-rule tight is not the rule that"):
        load_training_data(tiny(tmp_path / "set", tmp_path / "b", crop_rule="tight"))
    (tmp_path / "set/faceset.json").write_text(json.dumps({"crop_rule": WIDE.to_dict()}))
    wide, narrow = (
        load_training_data(tiny(tmp_path / "set", tmp_path / "a", crop_rule=rule))
        for rule in ("wide", "tight")
    )
    assert (wide.crop_rule, narrow.crop_rule) == (WIDE.to_dict(), TIGHT.to_dict())
    look = Look.within(WIDE, TIGHT)
    for part in ("train", "choose", "calibrate"):
        cut = look.cut(getattr(wide, part).image(0))
        assert (
            torch.equal(getattr(narrow, part).image(0), cut)
            and cut.shape[1] < getattr(wide, part).image(0).shape[1]
        )
    with pytest.raises(InputError, match="--crop-rule tigth is neither a rule nor a file"):
        load_training_data(tiny(face_set, tmp_path / "b", crop_rule="tigth"))


def test_another_seed_gives_other_weights(face_set: Path, tmp_path: Path) -> None:
    run(tiny(face_set, tmp_path / "a", epochs=1))
    run(tiny(face_set, tmp_path / "b", epochs=1, seed=4))
    a, b = weights(tmp_path / "a"), weights(tmp_path / "b")
    assert not torch.equal(a["model.encoder.mu.weight"], b["model.encoder.mu.weight"])


def test_a_finished_run_is_not_trained_again_but_can_go_on(face_set: Path, tmp_path: Path) -> None:
    config = tiny(face_set, tmp_path / "run", epochs=1)
    run(config)
    before = (tmp_path / "run" / "checkpoints" / LAST).stat().st_mtime_ns
    run(config)
    assert (tmp_path / "run" / "checkpoints" / LAST).stat().st_mtime_ns == before
    run(tiny(face_set, tmp_path / "run", epochs=2))
    run(tiny(face_set, tmp_path / "whole", epochs=2))
    assert_same_weights(tmp_path / "run", tmp_path / "whole")


def test_a_finished_run_that_goes_on_and_is_killed_goes_on_again(
    face_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tiny(face_set, tmp_path / "run", epochs=1))

    def killed(*_args: Any) -> Path:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("verovolto.training.engine.train", killed)
        with pytest.raises(KeyboardInterrupt):
            run(tiny(face_set, tmp_path / "run", epochs=2))
    run(tiny(face_set, tmp_path / "run", epochs=2))
    assert len(read_log(tmp_path / "run" / "metrics.csv")) == 2


def test_a_run_killed_before_its_configuration_was_written_begins_again(
    face_set: Path, tmp_path: Path
) -> None:
    (tmp_path / "run" / "weights").mkdir(parents=True)
    (tmp_path / "run" / "run.json").write_text("{}")
    run(tiny(face_set, tmp_path / "run", epochs=1))
    assert Detector.load(tmp_path / "run").metadata["seed"] == 3


def test_a_checkpoint_on_a_full_disk_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callbacks, "atomic_path", full_disk(tmp_path))
    with pytest.raises(OSError, match="No space left"):
        callbacks.WholeCheckpoints().save_checkpoint({"a": torch.zeros(100_000)}, tmp_path / "a.ckpt")


def test_a_run_of_another_configuration_is_not_touched(face_set: Path, tmp_path: Path) -> None:
    run(tiny(face_set, tmp_path / "run", epochs=1))
    with pytest.raises(TrainingError, match=r"lr was 0\.001, is 0\.5"):
        run(tiny(face_set, tmp_path / "run", epochs=1, lr=0.5))


def test_on_another_machine_a_run_goes_on_as_it_began(face_set: Path, tmp_path: Path) -> None:
    run(tiny(face_set, tmp_path / "run", epochs=1, precision="32", threads=1))
    out = run(tiny(face_set, tmp_path / "run", epochs=2, precision="auto", device="auto", threads=None))
    assert flat(stored_config(out))["threads"] == 1 and flat(stored_config(out))["precision"] == "32"
    with pytest.raises(TrainingError, match="threads was 1, is 2"):
        run(tiny(face_set, tmp_path / "run", epochs=2, threads=2))


def test_changed_data_is_noticed(tmp_path: Path) -> None:
    data = write_set(tmp_path / "faces", train=12, people=4)
    run(tiny(data, tmp_path / "run", epochs=1))
    (data / "manifest.csv").write_text((data / "manifest.csv").read_text().replace("test-pair0", "other"))
    with pytest.raises(TrainingError, match="has changed"):
        run(tiny(data, tmp_path / "run", epochs=2))


def test_a_folder_of_something_else_is_refused(face_set: Path, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(InputError, match="something else"):
        run(tiny(face_set, tmp_path))
    with pytest.raises(InputError, match=r"letter\.txt is a file"):
        run(tiny(face_set, tmp_path / "letter.txt"))


def test_a_loss_that_is_not_finite_stops_and_leaves_good_weights(face_set: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"the loss is (nan|inf) at epoch \d, step \d.*--lr"):
        run(tiny(face_set, tmp_path / "run", lr=1e18, epochs=4))
    saved = tmp_path / "run" / "checkpoints" / LAST
    assert not saved.is_file() or all(v.isfinite().all() for v in weights(tmp_path / "run").values())


class _Full(io.BytesIO):
    """A file on a disk that has room for a few hundred bytes."""

    def write(self, data: Any) -> int:
        if self.tell() > 300:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(data)


def test_a_disk_that_fills_while_a_checkpoint_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "last.ckpt"
    path.write_bytes(b"the one before")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", lambda *_args, **_options: _Full())
        with pytest.raises(OSError, match="No space left") as raised:
            callbacks.WholeCheckpoints().save_checkpoint({"weights": torch.zeros(10_000)}, path)
    assert raised.value.filename == str(path)
    assert path.read_bytes() == b"the one before"


def test_early_stopping(face_set: Path, tmp_path: Path) -> None:
    run(tiny(face_set, tmp_path / "run", lr=1e-12, epochs=40, patience=1, checkpoint_epochs=100))
    assert len(read_log(tmp_path / "run" / "metrics.csv")) < 40


def test_unreadable_images_are_left_out_up_to_a_share(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_set(tmp_path / "faces", train=24, people=6)
    (data / "train" / "real" / "003.jpg").write_bytes(b"no picture")
    out = run(tiny(data, tmp_path / "run", max_unreadable=0.05))
    assert "003.jpg" in capsys.readouterr().out
    assert Detector.load(out).metadata["unreadable"] == 1
    with pytest.raises(DataError, match=r"1 of \d+ images .* share of 0\.01.*003\.jpg"):
        run(tiny(data, tmp_path / "strict", max_unreadable=0.01))


def test_a_shared_identity_is_an_error(tmp_path: Path) -> None:
    data = write_set(tmp_path / "faces", train=12, people=4)
    text = (data / "manifest.csv").read_text().replace("val0,", "train0,")
    (data / "manifest.csv").write_text(text)
    with pytest.raises(SplitError, match="train0"):
        run(tiny(data, tmp_path / "run"))


@pytest.mark.parametrize(("amx", "precision"), [(True, "bf16"), (False, "32")])
def test_a_cpu_trains_in_bf16_where_it_has_amx_alone(
    amx: bool, precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both have AVX512-BF16, which may well have half of float32's rate."""
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    assert flat(resolved(tiny(tmp_path, tmp_path / "run", precision="auto")))["precision"] == precision


def test_bf16_trains(face_set: Path, tmp_path: Path) -> None:
    run(tiny(face_set, tmp_path / "run", precision="bf16", epochs=1))
    assert all(v.isfinite().all() for v in weights(tmp_path / "run").values())


def test_limit_draws_by_the_seed(face_set: Path, tmp_path: Path) -> None:
    sets = [
        load_training_data(tiny(face_set, tmp_path, limit=10, seed=s))
        .train.columns("face")["face"]
        .to_pylist()
        for s in (0, 0, 1)
    ]
    assert len(sets[0]) == 10 and sets[0] == sets[1] != sets[2]


def test_augmentation_depends_on_seed_epoch_and_row_alone(face_set: Path) -> None:
    faces = FaceSet.open(face_set).select(split="train", label="real")

    def views(seed: int, epoch: int) -> list[torch.Tensor]:
        data = TrainingFaces(faces, size=8, flips="hv", seed=seed)
        rows = [data[Key(epoch, row)] for row in reversed(range(24))]
        return [row for row in rows if isinstance(row, torch.Tensor)]

    first, again, other = views(0, 1), views(0, 1), views(0, 2)
    assert len(first) == 24 and all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    differ = sum(not torch.equal(a, b) for a, b in zip(first, other, strict=True))
    assert 8 <= differ <= 24  # three quarters are mirrored differently, in the mean


def test_the_sampler_skips_one_epoch_once(face_set: Path) -> None:
    sampler = EpochSampler(FaceSet.open(face_set).select(split="train"), seed=0)
    sampler.set_epoch(2)
    whole = list(sampler)
    sampler.skip_once(2, 16)
    assert list(sampler) == whole[16:] and len(sampler) == 24
    sampler.set_epoch(3)
    assert len(list(sampler)) == 24
    assert {key.row for key in whole} == set(range(24))


def test_all_problems_of_a_configuration_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--epochs 0 is below 1; --batch-size 1 is below 2.*--lr -1"):
        tiny(tmp_path, tmp_path, epochs=0, batch_size=1, lr=-1.0)


def test_a_twin_is_derived_and_not_trained(face_set: Path, tmp_path: Path) -> None:
    source = run(tiny(face_set, tmp_path / "run", epochs=1))
    out = derive(configure(data=face_set, model="oc-fakedect2", out=tmp_path / "twin"), source)
    twin = Detector.load(out)
    assert (twin.name, twin.default_score, twin.metadata["network_of"]) == (
        "oc-fakedect2",
        "latent",
        "oc-fakedect1",
    )
    with pytest.raises(InputError, match="cannot be made of"):
        derive(configure(data=face_set, model="resnet-ocvae-latent", out=tmp_path / "no"), source)
