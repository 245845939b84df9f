"""Several processes that train one network: who this one is, and what of a batch is its own. Light to import."""

from __future__ import annotations

import os
from dataclasses import dataclass

from verovolto.core.errors import InputError


@dataclass(frozen=True, kw_only=True)
class World:
    """The processes of a training, as torchrun states them in the environment; by default this one alone.

    Attributes:
        rank: number of this process; the first alone writes.
        size: how many there are, over all machines.
        local_size: how many of them are on this machine.
    """

    rank: int = 0
    size: int = 1
    local_size: int = 1

    @staticmethod
    def here() -> World:
        """Of this process. Raises `InputError` where machines have unlike numbers of processes."""
        read = {name: int(os.environ.get(name, one)) for name, one in _NAMES.items()}
        world = World(rank=read["RANK"], size=read["WORLD_SIZE"], local_size=read["LOCAL_WORLD_SIZE"])
        if world.size % world.local_size:
            raise InputError(
                f"{world.size} processes, {world.local_size} of them on this machine: every machine needs as many",
                hint="begin as many on each with torchrun",
            )
        return world

    @property
    def nodes(self) -> int:
        """Machines."""
        return self.size // self.local_size

    @property
    def first(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def batch_size(self, whole: int) -> int:
        """Images a step of this process, where all of them together take `whole`.

        Raises:
            InputError: it does not divide, or leaves a process fewer than two.
        """
        if whole % self.size or whole // self.size < 2:
            raise InputError(
                f"a batch of {whole} cannot be spread over {self.size} processes",
                hint=f"give --batch-size a multiple of {self.size}, {2 * self.size} or more",
            )
        return whole // self.size


_NAMES = {"RANK": 0, "WORLD_SIZE": 1, "LOCAL_WORLD_SIZE": 1}
