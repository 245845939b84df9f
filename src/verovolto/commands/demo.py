"""`verovolto demo`: the whole job on a small set of real photographs."""

from __future__ import annotations

from pathlib import Path


def demo(*, out: Path = Path("demo"), epochs: int = 24, seed: int = 0, force: bool = False) -> None:
    """Run the whole job on a small set of real photographs, from training to verdicts; takes a few minutes.

    Reads the ORL faces (40 people, 10 photographs each), divides them by person, swaps faces between people of
    the held-out groups, trains a one-class model on the real faces of the others, sets thresholds on held-out
    reals, and reports how well the swaps are found among the photographs. Then a photograph and a short video of a
    person whom nothing was learned from, and the same with another's face, are scanned with the detector that comes
    along and with the one just trained. A demonstration that was stopped goes on where it was.

    Parameters
    ----------
    out
        Folder for everything the demonstration writes.
    epochs
        Passes over the training photographs.
    seed
        Seed of the groups of people, of the swaps and of the training.
    force
        Start again: delete what an earlier demonstration wrote into the folder.
    """
    from verovolto.demo.run import run_demo

    print(f"page: {run_demo(out, epochs=epochs, seed=seed, force=force).resolve()}")
