"""Several processes train as one: the same batches, the same noise, the same losses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.training.resume import assert_same_weights, killed_in_training, log_without_times, weights
from tests.training.test_fit import tiny
from tests.training.two_processes import train
from verovolto.core.errors import InputError
from verovolto.detectors.fitting import Share
from verovolto.detectors.vae import fit as vae_fit
from verovolto.networks.vae import draw_noise
from verovolto.training.callbacks import read_log
from verovolto.training.config import configure
from verovolto.training.data import EpochSampler, World
from verovolto.training.fit import run

ROOT = Path(__file__).parents[2]


class Rows:
    """So many rows in blocks of four."""

    def __init__(self, rows: int) -> None:
        self.blocks = np.arange(rows) // 4


@given(rows=st.integers(8, 60), size=st.integers(1, 4), own=st.integers(2, 4), epoch=st.integers(0, 3))
def test_the_shares_of_a_batch_are_the_batch(rows: int, size: int, own: int, epoch: int) -> None:
    whole = EpochSampler(Rows(rows), seed=5)
    shares = [
        EpochSampler(Rows(rows), seed=5, share=Share(rank, size), batch_size=own) for rank in range(size)
    ]
    for sampler in (whole, *shares):
        sampler.set_epoch(epoch)
    order, parts = [key.row for key in whole], [[key.row for key in share] for share in shares]
    assert [len(part) for part in parts] == [len(share) for share in shares] and len(
        set(map(len, parts))
    ) == 1
    for step in range(len(parts[0]) // own):
        batch = {row for part in parts for row in part[step * own : (step + 1) * own]}
        assert batch == set(order[step * own * size : (step + 1) * own * size])


@given(rows=st.integers(4, 30), size=st.integers(1, 4))
def test_what_is_not_shuffled_is_shared_to_the_last_row(rows: int, size: int) -> None:
    shares = [
        EpochSampler(Rows(rows), seed=0, shuffle=False, share=Share(rank, size)) for rank in range(size)
    ]
    assert sorted(key.row for share in shares for key in share) == list(range(rows))


def test_a_share_of_a_batch_has_the_noise_of_the_whole() -> None:
    def drawn(rows: int, share: Any) -> torch.Tensor:
        noise = draw_noise(torch.zeros(rows, 3), "normal", torch.Generator().manual_seed(1), share)
        assert noise is not None
        return noise

    whole = drawn(6, (0, 1))
    assert torch.equal(drawn(3, Share(0, 2)), whole[0::2]) and torch.equal(drawn(3, Share(1, 2)), whole[1::2])


def test_the_world_is_what_torchrun_says(monkeypatch: pytest.MonkeyPatch) -> None:
    assert World.here() == World() and World().first and World().nodes == 1
    for name, value in (("RANK", "5"), ("WORLD_SIZE", "16"), ("LOCAL_WORLD_SIZE", "8")):
        monkeypatch.setenv(name, value)
    world = World.here()
    assert (world.nodes, world.first, world.batch_size(64)) == (2, False, 4)
    for wrong in (16, 60):
        with pytest.raises(InputError, match="cannot be spread over 16 processes"):
            world.batch_size(wrong)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    with pytest.raises(InputError, match="every machine needs as many"):
        World.here()


def test_what_is_fitted_in_one_process_says_so(
    face_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    with pytest.raises(InputError, match="mahalanobis is fitted in one process, not in 2"):
        run(configure(model="mahalanobis", data=face_set, out=tmp_path / "run"))
    with pytest.raises(InputError, match="a batch of 9 cannot be spread over 2"):
        run(tiny(face_set, tmp_path / "run", batch_size=9))


def in_two_processes(faces: Path, out: Path) -> list[str]:
    words = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
             "-m", "tests.training.two_processes", faces, out]  # fmt: skip
    return [sys.executable, *map(str, words)]


def run_to_the_end(command: list[str]) -> None:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_two_processes_that_are_killed_go_on(face_set: Path, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    run_to_the_end(in_two_processes(face_set, whole))
    killed_in_training(in_two_processes(face_set, killed), killed)
    run_to_the_end(in_two_processes(face_set, killed))
    assert_same_weights(whole, killed)
    assert log_without_times(whole) == log_without_times(killed)


@pytest.mark.slow
def test_two_processes_have_the_losses_of_one(
    face_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vae_fit, "build", vae_fit.build)
    one, two = train(face_set, tmp_path / "one"), tmp_path / "two"
    run_to_the_end(in_two_processes(face_set, two))
    logs = [read_log(folder / "metrics.csv") for folder in (one, two)]
    assert [len(log) for log in logs] == [2, 2]
    for of_one, of_two in zip(*logs, strict=True):
        assert of_one.keys() == of_two.keys() and of_one["step"] == of_two["step"]
        for name in of_one.keys() - {"images_per_s", "seconds"}:
            assert float(of_two[name]) == pytest.approx(float(of_one[name]), rel=1e-5), name
    assert float(logs[0][1]["train_loss"]) < float(logs[0][0]["train_loss"])
    ours, theirs = weights(one), weights(two)
    assert all(torch.allclose(ours[name], theirs[name], rtol=1e-5, atol=1e-6) for name in ours)
    assert {path.name for path in one.iterdir()} == {path.name for path in two.iterdir()}
