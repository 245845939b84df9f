"""CLIP with its layer norms tuned on pseudo-fakes: what it ranks alone, summed with the default detector, and refitted.

    python benchmarks/norm_tuning.py WORK --faces FACES [--data DFDC] [--pairs 800] [--steps 300] [--detector NAME]

After Yermakov et al., "Unlocking the hidden potential of CLIP in generalizable deepfake detection", 2025: all is frozen
but the layer norms (here those from block 4 on, 25,000 numbers) and a linear layer on the last class token, brought to
length 1. Learned from pairs of a pseudo-fake and its source by the logistic loss of both, and that of their difference.
Faces are of DFDC and of FairFace, cut by the rule `dfdc` (`sources.py` says how; FACES holds those of FairFace and of
the sets tested on). In WORK are kept the features of the untuned network, what comes out of its block 3, and the tuned
network, so that a stopped run goes on.

Prints AUROC of validation, by video of the others, and pairs in order: of the default detector; of the tuned network;
of their sums (each in standard deviations of the validation's reals); and of Fisher's discriminant of the tuned
features, as the default detector's is of the untuned ones, beside one of the untuned features of the same faces.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
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
from sources import WEIGHTS, Array, Held, Study, auroc_by_video, folder_of, is_fake, study_parser
from verovolto.core.files import atomic_path
from verovolto.core.workdir import Rows
from verovolto.data.face_batch import FaceBatch
from verovolto.detectors.base import load_detector
from verovolto.detectors.io import detector_folder
from verovolto.detectors.region_discriminant.detector import FeatureDetector
from verovolto.detectors.region_discriminant.extraction import SIDE, OfFaces, Recipe
from verovolto.detectors.region_discriminant.features import FeatureSpec
from verovolto.detectors.region_discriminant.linear_head import Measured, fit_head
from verovolto.features.regions import pooled, region_masks
from verovolto.networks.backbones.clip import WIDTH, Block, ClipVit, FrozenLinear, load_clip
from verovolto.synthesis.pseudo_fakes import FacePool, pair

FIRST = 4
"""First block that is tuned: the default detector's features begin there."""
BATCH = 12
"""Pairs in a step."""
TESTS = ("dfdc/val", "celebdf-clips-dfdc", "ffpp-crops-dfdc")


@cache
def frozen_blocks() -> ClipVit:
    """The network up to the first block that is tuned, once a process."""
    return load_clip((FIRST - 1,), (FIRST - 1,))


class Before(Recipe):
    """What comes out of the frozen blocks, in the place of features: `[n, tokens * 768]`."""

    @override
    @torch.inference_mode()
    def columns(self, images: list[Tensor]) -> NDArray[np.float32]:
        batch = FaceBatch(images=images, encoded_bytes=[None] * len(images))
        (patches,), (token,) = frozen_blocks()(self.preprocessing(batch, torch.device("cpu")))
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
    """The blocks from `FIRST` on, and a logit."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(load_clip((11,), (11,)).blocks[FIRST:])
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
    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Logits `[B]`, and what comes out of each block."""
        after = []
        for block in self.blocks:
            x = block(x)
            after.append(x)
        found: Tensor = self.logit(normalize(x[:, 0], dim=1) * math.sqrt(WIDTH))[:, 0]
        return found, after

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
        loss = loss_of(net(x.flatten(0, 1))[0].view(-1, 2))
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
class Columns:
    """Logit and features of faces by what is kept of them, float32 `[n, 1 + D]`."""

    net: Tuned
    spec: FeatureSpec
    masks: Tensor

    @torch.inference_mode()
    def __call__(self, x: NDArray[np.float16]) -> NDArray[np.float32]:
        found = []
        for part in torch.from_numpy(x).split(32):
            logits, after = self.net(part.float())
            edge = math.isqrt(part.shape[1] - 1)
            maps = [
                after[at - FIRST][:, 1:].transpose(1, 2).reshape(len(part), -1, edge, edge)
                for at in self.spec.layers
            ]
            tokens = [after[at - FIRST][:, 0] for at in self.spec.tokens]
            found.append(torch.cat([logits[:, None], pooled(maps, self.masks), *tokens], dim=1))
        return np.asarray(torch.cat(found).numpy())


@dataclass(frozen=True)
class Trial:
    """The faces of a study, as they come out of the frozen blocks."""

    study: Study
    pairs: int
    untouched: int
    corrupted: int
    folder: Path = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "folder", self.study.work / f"norms-{self.study.seed}")

    def kept(self, name: str, count: int, rows: Rows[np.float16]) -> NDArray[np.float16]:
        """`[count, ..., tokens, 768]`."""
        found = self.study.kept(name, count, rows, self.folder / folder_of(name))
        return found.reshape(*found.shape[:-1], -1, WIDTH)

    @property
    def before(self) -> Before:
        recipe = self.study.steps.recipe
        return Before(spec=recipe.spec, landmarks=recipe.landmarks, preprocessing=recipe.preprocessing)

    def of_pairs(self) -> NDArray[np.float16]:
        steps = self.study.steps
        return self.kept("pairs", self.pairs, OfPairs(steps.face_pool, self.before, self.study.seed))

    def of_faces(self) -> tuple[NDArray[np.float16], NDArray[np.float16]]:
        """Of untouched faces, and of the first of them corrupted."""
        faces = self.study.steps.drawn
        reals = OfFaces(faces=faces, recipe=self.before)
        worn = replace(reals, corrupted_by=self.study.seed)
        return self.kept("reals", self.untouched, reals), self.kept("corrupted", self.corrupted, worn)

    def of_test(self, name: str) -> NDArray[np.float16]:
        """Of `study.faces_of(name)`."""
        faces = self.study.faces_of(name)
        return self.kept(name, len(faces), OfFaces(faces=faces, recipe=self.before))


def refitted(trial: Trial, columns: Columns) -> tuple[Measured, Measured]:
    """What a head is fitted to, of the untuned features and of the tuned ones, for the same faces."""
    measured = trial.study.measured().part(columns.spec)
    of_pairs = trial.of_pairs()
    pairs = columns(of_pairs.reshape(-1, *of_pairs.shape[2:]))[:, 1:]
    of_reals, of_worn = trial.of_faces()
    reals, worn = columns(of_reals)[:, 1:], columns(of_worn)[:, 1:]
    some = replace(
        measured, reals=measured.reals[: len(reals)], sources=measured.sources[: len(reals)],
        differences=measured.differences[: trial.pairs], kinds=measured.kinds[: trial.pairs],
        corrupted=measured.corrupted[: len(worn)],
    )  # fmt: skip
    tuned = replace(
        some, reals=reals, differences=pairs[::2] - pairs[1::2], corrupted=worn - reals[: len(worn)]
    )
    return some, tuned


def line(name: str, scores: Mapping[str, Array], held: Mapping[str, Held]) -> str:
    """A row of the table."""
    cells = []
    for test, values in scores.items():
        table, _ = held[test]
        single = test.startswith("dfdc")
        found = roc_auc_score(is_fake(table), values) if single else auroc_by_video(table, values)
        cells.append(f"{found:.3f}" + (f", {100 * pairs_in_order(table, values):.1f} %" if single else ""))
    return f"| {name} | {' | '.join(cells)} |"


def standard(scores: Mapping[str, Array], held: Mapping[str, Held]) -> dict[str, Array]:
    """In standard deviations of the validation's reals."""
    of_reals = scores[TESTS[0]][~is_fake(held[TESTS[0]][0])]
    return {name: (values - of_reals.mean()) / of_reals.std() for name, values in scores.items()}


def judge(trial: Trial, net: Tuned, detector: FeatureDetector) -> None:
    """Print the table."""
    study, spec = trial.study, detector.head.spec
    held = {name: study.held_out(name) for name in TESTS}
    at = spec.positions(spec.kept)
    untuned = {name: features[:, at] for name, (_, features) in held.items()}
    columns = Columns(net, spec, region_masks(detector.head.landmarks, SIDE, spec.regions))
    tuned = {name: columns(trial.of_test(name)) for name in TESTS}
    print(f"| | {' | '.join(TESTS)} |\n|{'---|' * (1 + len(TESTS))}")
    default = standard(
        {
            name: detector.of_columns(torch.from_numpy(values))[detector.default_score].numpy()
            for name, values in untuned.items()
        },
        held,
    )
    logits = standard({name: values[:, 0] for name, values in tuned.items()}, held)
    print(line("the default detector", default, held))
    print(line("the tuned network", logits, held))
    for weight in (0.1, 0.3, 1.0):
        both = {name: default[name] + weight * logits[name] for name in TESTS}
        print(line(f"1 : {weight}", both, held), flush=True)
    before, after = refitted(trial, columns)
    heads = {
        "untuned": (fit_head(before, **WEIGHTS), untuned),
        "tuned": (fit_head(after, **WEIGHTS), {name: values[:, 1:] for name, values in tuned.items()}),
    }
    scores = {
        name: standard({test: (x - head.origin) @ head.slope for test, x in of.items()}, held)
        for name, (head, of) in heads.items()
    }
    for name, each in scores.items():
        print(line(f"closed form, {name} features of the same faces", each, held))
    print(
        line(
            "the sum of the two",
            {test: scores["untuned"][test] + scores["tuned"][test] for test in TESTS},
            held,
        )
    )


def main() -> None:
    """Run what the command line asks for."""
    parser = study_parser(__doc__, limit=1000, forgeries=1000, thin=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--all-untouched", type=int, default=2000, help="untouched faces; --untouched of them are refitted on"
    )
    parser.add_argument(
        "--pairs", type=int, default=800, help="pseudo-fakes that are tuned on, with their sources"
    )
    parser.add_argument("--untouched", type=int, default=1200, help="untouched faces of the closed form")
    parser.add_argument("--corrupted", type=int, default=400, help="corrupted faces of the closed form")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--rate", type=float, default=3e-4, help="of learning; ten times that for the logit")
    parser.add_argument("--detector", default="default")
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    study = Study(
        given.work, given.faces, given.data, given.seed, limit=given.limit, forgeries=given.forgeries,
        untouched=given.all_untouched, thin=given.thin, others=("fairface",),
    )  # fmt: skip
    trial = Trial(study, given.pairs, given.untouched, given.corrupted)
    detector = load_detector(detector_folder(given.detector))
    assert isinstance(detector, FeatureDetector), "a region discriminant"
    pairs = trial.of_pairs()
    torch.set_num_threads(given.threads)
    torch.manual_seed(given.seed)
    net = Tuned()
    tune(net, pairs, trial.folder / f"tuned-{given.steps}-{given.rate}.pt", steps=given.steps, rate=given.rate,
         seed=given.seed)  # fmt: skip
    judge(trial, net.eval().requires_grad_(False), detector)


if __name__ == "__main__":
    main()
