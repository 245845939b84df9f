"""CLIP with its layer norms tuned on pseudo-fakes: what it ranks alone, and summed with the default detector.

    python benchmarks/norm_tuning.py WORK --faces FACES [--data DFDC] [--first 8] [--steps 600] [--detector NAME]

After Yermakov et al., "Unlocking the hidden potential of CLIP in generalizable deepfake detection", 2025: all is frozen
but the layer norms (here those from block `--first` on, 3,072 numbers a block) and a linear layer on the last class
token, brought to length 1. Learned from pairs of a pseudo-fake and its source by the logistic loss of both, and that of
their difference. Faces, pseudo-fakes and sets to test on are those of `sources.py`. In WORK are kept the features of
the untuned network, what comes out of its frozen blocks, and the tuned network, so that a stopped run goes on.

Prints, of the default detector, of the tuned network and of their sums (each in standard deviations of the
validation's reals): AUROC of validation, and by video of the others; and at the threshold at which no more than 5 % of
the validation's reals of any source are flagged, what is flagged of each set's reals and missed of its fakes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn
from torch.nn.functional import normalize, softplus
from typing_extensions import override

from seeds import pairs_in_order
from sources import RATE, Array, Held, Study, auroc_by_video, folder_of, is_fake, study_parser
from verovolto.core.files import atomic_path
from verovolto.core.workdir import Rows
from verovolto.data.face_batch import FaceBatch
from verovolto.detectors.base import load_detector
from verovolto.detectors.io import detector_folder
from verovolto.detectors.region_discriminant.detector import FeatureDetector
from verovolto.detectors.region_discriminant.extraction import OfFaces, Recipe
from verovolto.networks.backbones.clip import WIDTH, Block, ClipVit, FrozenLinear, load_clip
from verovolto.synthesis.pseudo_fakes import FacePool, pair

BATCH = 12
"""Pairs in a step."""
TESTS = ("dfdc/val", "celebdf-clips-dfdc", "ffpp-crops-dfdc", "fairface-dfdc/val", "celeba-dfdc/val")
"""The last two are real faces alone."""


@cache
def frozen_blocks(first: int) -> ClipVit:
    """The network up to the first block that is tuned, once a process."""
    return load_clip((first - 1,), (first - 1,))


@dataclass(kw_only=True)
class Before(Recipe):
    """What comes out of the blocks before the first that is tuned, in the place of features: `[n, tokens * 768]`."""

    first: int

    @override
    @torch.inference_mode()
    def columns(self, images: list[Tensor]) -> NDArray[np.float32]:
        batch = FaceBatch(images=images, encoded_bytes=[None] * len(images))
        (patches,), (token,) = frozen_blocks(self.first)(self.preprocessing(batch, torch.device("cpu")))
        x = torch.cat((token[:, None], patches.flatten(2).transpose(1, 2)), dim=1)
        return np.asarray(x.flatten(1).numpy())


@dataclass(frozen=True)
class OfPairs:
    """Of pseudo-fakes and their sources by the numbers of the pairs, `[n, 2, tokens * 768]`, the fake first."""

    face_pool: FacePool
    before: Before
    seed: int

    def __call__(self, rows: range) -> NDArray[np.float16]:
        made = [pair(self.face_pool, number, seed=self.seed) for number in rows]
        found = self.before.columns([image for each in made for image in (each.fake, each.real)])
        return found.astype(np.float16).reshape(len(made), 2, -1)


class _Product(torch.autograd.Function):
    """A frozen linear layer that gradients pass: both ways by `FrozenLinear`'s fast product."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: FrozenLinear, back: FrozenLinear) -> Tensor:
        ctx.back = back
        return layer(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return ctx.back(gradients[0].contiguous()), None, None


class _Passing(nn.Module):
    """See `_Product`."""

    def __init__(self, layer: FrozenLinear) -> None:
        super().__init__()
        self.layer = layer
        with torch.device("meta"):
            self.back = FrozenLinear(layer.out_features, layer.in_features, bias=False)
        self.back.weight = nn.Parameter(layer.weight.detach().T.contiguous(), requires_grad=False)

    @override
    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = _Product.apply(x, self.layer, self.back)
        return found


class Tuned(nn.Module):
    """The blocks from `first` on, and a logit."""

    def __init__(self, first: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(load_clip((11,), (11,)).blocks[first:])
        self.logit = nn.Linear(WIDTH, 1)
        nn.init.zeros_(self.logit.weight)
        nn.init.zeros_(self.logit.bias)
        for block in self.blocks:
            assert isinstance(block, Block)
            for name in ("q", "k", "v", "out", "widen", "narrow"):
                setattr(block, name, _Passing(getattr(block, name)))
            block.norm1.requires_grad_(True)
            block.norm2.requires_grad_(True)

    @override
    def forward(self, x: Tensor) -> Tensor:
        """Logits `[B]`."""
        for block in self.blocks:
            x = block(x)
        found: Tensor = self.logit(normalize(x[:, 0], dim=1) * math.sqrt(WIDTH))[:, 0]
        return found

    @torch.inference_mode()
    def of_faces(self, x: NDArray[np.float16]) -> Array:
        """Logits by what is kept of faces, float32 `[n]`."""
        return torch.cat([self(part.float()) for part in torch.from_numpy(x).split(32)]).numpy()

    def numbers(self) -> dict[str, Tensor]:
        """What is learned."""
        return {name: value for name, value in self.named_parameters() if value.requires_grad}


def loss_of(logits: Tensor) -> Tensor:
    """Logistic loss of fakes, reals and pairs; `logits` `[n, 2]`, the fake first."""
    fake, real = logits.unbind(1)
    return (softplus(-fake) + softplus(real) + softplus(real - fake)).mean()


def tune(net: Tuned, pairs: NDArray[np.float16], path: Path, *, steps: int, rate: float, seed: int) -> None:
    """Learn from pairs, and keep what is learned every fifty steps."""
    numbers = net.numbers()
    of_logit = [value for name, value in numbers.items() if name.startswith("logit")]
    of_norms = [value for name, value in numbers.items() if not name.startswith("logit")]
    optimizer = torch.optim.AdamW(
        [{"params": of_norms, "lr": rate}, {"params": of_logit, "lr": 10 * rate}], weight_decay=0.0
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1, (step + 1) / 20) * 0.5 * (1 + math.cos(math.pi * step / steps))
    )
    first = 0
    if path.exists():
        kept = torch.load(path, weights_only=True)
        first = kept["step"]
        net.load_state_dict(kept["numbers"], strict=False)
        optimizer.load_state_dict(kept["optimizer"])
        schedule.load_state_dict(kept["schedule"])
    order = np.concatenate(
        [
            np.random.default_rng([seed, turn]).permutation(len(pairs))
            for turn in range(1 + steps * BATCH // len(pairs))
        ]
    )
    said = []
    for step in track(range(first, steps), "tuning", console=Console(stderr=True)):
        rows = np.sort(order[step * BATCH : (step + 1) * BATCH])
        x = torch.from_numpy(pairs[rows]).float()
        loss = loss_of(net(x.flatten(0, 1)).view(-1, 2))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        said.append(loss.item())
        if (step + 1) % 50 == 0 or step + 1 == steps:
            print(f"step {step + 1}: loss {np.mean(said[-50:]):.3f}", flush=True)
            with atomic_path(path) as part:
                torch.save(
                    {
                        "step": step + 1,
                        "numbers": numbers,
                        "optimizer": optimizer.state_dict(),
                        "schedule": schedule.state_dict(),
                    },
                    part,
                )


@dataclass(frozen=True)
class Trial:
    """The faces of a study, as they come out of the frozen blocks."""

    study: Study
    first: int

    @property
    def folder(self) -> Path:
        return self.study.work / f"norms-{self.study.seed}-{self.first}"

    def kept(self, name: str, count: int, rows: Rows[np.float16]) -> NDArray[np.float16]:
        """`[count, ..., tokens, 768]`."""
        found = self.study.kept(name, count, rows, self.folder / folder_of(name))
        return found.reshape(*found.shape[:-1], -1, WIDTH)

    @property
    def before(self) -> Before:
        recipe = self.study.steps.recipe
        return Before(
            spec=recipe.spec, landmarks=recipe.landmarks, preprocessing=recipe.preprocessing, first=self.first
        )

    def of_pairs(self) -> NDArray[np.float16]:
        steps = self.study.steps
        return self.kept(
            "pairs", self.study.forgeries, OfPairs(steps.face_pool, self.before, self.study.seed)
        )

    def of_test(self, name: str) -> NDArray[np.float16]:
        """Of `study.faces_of(name)`."""
        faces = self.study.faces_of(name)
        return self.kept(name, len(faces), OfFaces(faces=faces, recipe=self.before))


def ranks(scores: Mapping[str, Array], held: Mapping[str, Held]) -> list[str]:
    """AUROC of the sets that have fakes, and pairs in order."""
    cells = []
    for test, (table, _) in held.items():
        fake, values = is_fake(table), scores[test]
        if test.startswith("dfdc"):
            cells.append(f"{roc_auc_score(fake, values):.3f}, {100 * pairs_in_order(table, values):.1f} %")
        elif fake.any():
            cells.append(f"{auroc_by_video(table, values):.3f}")
    return cells


def shares(scores: Mapping[str, Array], held: Mapping[str, Held]) -> list[str]:
    """Reals flagged and fakes missed where 5 % of the worst source of validation are flagged."""
    fake = {test: is_fake(table) for test, (table, _) in held.items()}
    limit = max(np.quantile(scores[test][~fake[test]], 1 - RATE) for test in held if test.endswith("/val"))
    cells = []
    for test, values in scores.items():
        cell = f"{100 * (values[~fake[test]] > limit).mean():.1f}"
        if fake[test].any():
            cell += f", {100 * (values[fake[test]] <= limit).mean():.1f}"
        cells.append(cell)
    return cells


def standard(scores: Mapping[str, Array], held: Mapping[str, Held]) -> dict[str, Array]:
    """In standard deviations of the validation's reals."""
    of_reals = scores[TESTS[0]][~is_fake(held[TESTS[0]][0])]
    return {name: (values - of_reals.mean()) / of_reals.std() for name, values in scores.items()}


def judge(trial: Trial, net: Tuned, detector: FeatureDetector) -> None:
    """Print the table."""
    spec = detector.head.spec
    held = {name: trial.study.held_out(name) for name in TESTS}
    at = spec.positions(spec.kept)
    default = standard(
        {
            name: detector.of_columns(torch.from_numpy(features[:, at]))[detector.default_score].numpy()
            for name, (_, features) in held.items()
        },
        held,
    )
    logits = standard({name: net.of_faces(trial.of_test(name)) for name in TESTS}, held)
    sums = {
        f"1 : {weight}": {name: default[name] + weight * logits[name] for name in TESTS}
        for weight in (0.3, 0.5, 1.0)
    }
    ranked = [name for name in TESTS if is_fake(held[name][0]).any()]
    print(f"| AUROC | {' | '.join(ranked)} | flagged, missed, %: {' | '.join(TESTS)} |")
    print(f"|{'---|' * (1 + len(ranked) + len(TESTS))}")
    for name, scores in {"the default detector": default, "the tuned network": logits, **sums}.items():
        print(f"| {name} | {' | '.join((*ranks(scores, held), *shares(scores, held)))} |")


def main() -> None:
    """Run what the command line asks for."""
    parser = study_parser(__doc__, limit=4000, forgeries=2000, thin=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--untouched", type=int, default=12000, help="as the default detector's training has it"
    )
    parser.add_argument("--first", type=int, default=8, help="first block that is tuned, 1 to 11")
    parser.add_argument("--steps", type=int, default=600, help=f"of {BATCH} pairs")
    parser.add_argument("--rate", type=float, default=3e-4, help="of learning; ten times that for the logit")
    parser.add_argument("--detector", default="default")
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    study = Study(
        given.work, given.faces, given.data, given.seed, limit=given.limit, forgeries=given.forgeries,
        untouched=given.untouched, thin=given.thin,
    )  # fmt: skip
    trial = Trial(study, given.first)
    detector = load_detector(detector_folder(given.detector))
    assert isinstance(detector, FeatureDetector), "a region discriminant"
    pairs = trial.of_pairs()
    torch.set_num_threads(given.threads)
    torch.manual_seed(given.seed)
    net = Tuned(given.first)
    tune(net, pairs, trial.folder / f"tuned-{given.steps}-{given.rate}.pt", steps=given.steps, rate=given.rate,
         seed=given.seed)  # fmt: skip
    judge(trial, net.eval().requires_grad_(False), detector)


if __name__ == "__main__":
    main()
