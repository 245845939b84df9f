"""Face detectors against each other: what they find, how well, how fast; and how their boxes and the crops relate.

    python benchmarks/face_detectors.py DATA [--detectors mtcnn centerface] [--scenes 300] [--fps 1]

DATA holds `ffpp-clips` (videos) and `dfdc-faces` (224 px face crops with `train/real`). A detector may be given a
working size, `centerface@320`. Faces count from each detector's own confidence on
(`faces.detection.base.FaceDetector.confidence`).

- frames: of the clips, `--fps` a second; where a face is nobody has noted. Photographs: the ORL faces, where installed
  (one face each, the whole head in the picture).
- scenes: crops pasted at a known place, 64 to 224 px wide, into 640x480 and 1280x720 pixels of blurred, dimmed other
  crops. A face is found where its centre lies in the pasted square and its larger side is half to twice the square's;
  any other face is false. Landmarks are compared with those found by the same detector in the crop itself.
- landmarks: mean distance of the five points over the distance between the eyes; from another detector's, and from
  those of the same detector in the mirrored image, mirrored back, which needs no truth.
- boxes: of the second detector against the first's for the same face: larger side, and shift of the centre in larger
  sides of the first's box, right and down.
- tight: crops with room around them (reflected, or grey): side of the crop over the larger side of the box, and the
  shift of the crop's centre from the box's in larger sides. The context is not a real one, and biases the box; how much
  is measured on crops of the frames and photographs cut by the rule `tight`, whose true values are 0.86 and no shift.

Detectors take turns, image by image, in one process and on one thread; times are medians of CPU milliseconds. Writes
`benchmarks/out/face_detectors.json`.
"""

from __future__ import annotations

import argparse
import itertools
import platform
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.nn.functional import interpolate, pad

from verovolto.core.errors import VerovoltoError
from verovolto.core.files import write_json
from verovolto.data.crop_rule import TIGHT
from verovolto.data.decode import decode_image
from verovolto.demo.faces import orl_photos
from verovolto.faces.crop import crop
from verovolto.faces.detection.base import Face, FaceDetector, iou
from verovolto.faces.detection.centerface import CenterFaceDetector
from verovolto.faces.detection.mtcnn import MTCNNDetector
from verovolto.faces.detection.registry import open_detector
from verovolto.media import Sampling, open_media

OUT = Path(__file__).parent / "out" / "face_detectors.json"
SIDES = (64, 96, 128, 160, 224)
SCENES = ((480, 640), (720, 1280))
SAME = 0.4
"""Intersection over union above which boxes of two detectors show the same face."""

Box = tuple[float, float, float, float]


@dataclass(frozen=True, kw_only=True, eq=False)
class Shown:
    """An image, and where it is known, the square that holds its one face."""

    image: Tensor
    square: Box | None = None
    crop: Tensor | None = None


@dataclass(kw_only=True)
class Found:
    """What one detector made of a set of images: confident faces, others, the steadiness of the best one's landmarks
    when the image is mirrored, and milliseconds, image by image."""

    faces: list[list[Face]] = field(default_factory=list)
    doubtful: list[list[Face]] = field(default_factory=list)
    mirrored: list[float] = field(default_factory=list)
    ms: list[float] = field(default_factory=list)


def detector(name: str) -> FaceDetector:
    """A detector by its name, or by name and working size."""
    plain, _, side = name.partition("@")
    if not side:
        return open_detector(plain)
    kinds = {"mtcnn": MTCNNDetector, "centerface": CenterFaceDetector}
    return kinds[plain](long_side=int(side))


def confident(faces: list[Face], name: str) -> list[Face]:
    return [face for face in faces if face.score >= open_detector(name.partition("@")[0]).confidence]


def in_turn(detectors: dict[str, FaceDetector], shown: Sequence[Shown]) -> dict[str, Found]:
    """Let the detectors look at every image, one after the other, in an order that changes from image to image."""
    found = {name: Found() for name in detectors}
    names = list(detectors)
    for at, each in enumerate(shown):
        for name in names[at % len(names) :] + names[: at % len(names)]:
            begin = time.process_time()
            faces = detectors[name].detect(each.image)
            found[name].ms.append((time.process_time() - begin) * 1000)
            sure = confident(faces, name)
            found[name].faces.append(sure)
            found[name].doubtful.append([face for face in faces if face not in sure])
            again = detectors[name].detect(each.image.flip(2)) if sure else []
            if again:
                found[name].mirrored.append(apart(sure[0], mirrored(again[0], each.image.shape[2])))
    return found


def frames_of(folder: Path, fps: float) -> Iterator[Shown]:
    for path in sorted(folder.rglob("*.mp4")):
        for frame in open_media(path).frames(Sampling(fps=fps)):
            yield Shown(image=frame.image)


def photos() -> list[Shown]:
    try:
        return [Shown(image=decode_image(p.file.read_bytes(), name=p.name)) for p in orl_photos()]
    except VerovoltoError:
        return []


def crops_of(folder: Path, number: int) -> list[Tensor]:
    """Crops evenly spread over the folder."""
    paths = sorted(folder.glob("*.jpg"))
    chosen = [paths[at] for at in np.linspace(0, len(paths) - 1, min(number, len(paths))).round().astype(int)]
    return [decode_image(path.read_bytes(), name=path.name) for path in chosen]


def scaled(image: Tensor, size: tuple[int, int]) -> Tensor:
    made = interpolate(image[None].float(), size=size, mode="bilinear", antialias=True)[0]
    return made.round().clamp(0, 255).to(torch.uint8)


def scenes_of(crops: Sequence[Tensor], seed: int = 0) -> Iterator[Shown]:
    """Each crop at a random place and size in a background made of the next crop: 4x4 pixels of it, enlarged, at half
    brightness, with noise."""
    bernoulli = np.random.default_rng(seed)
    for at, face in enumerate(crops):
        height, width = SCENES[at % len(SCENES)]
        side = SIDES[(at // len(SCENES)) % len(SIDES)]
        ground = scaled(scaled(crops[(at + 1) % len(crops)], (4, 4)), (height, width)).float() * 0.5
        ground += torch.from_numpy(bernoulli.normal(0, 4, (3, height, width)).astype(np.float32))
        image = ground.clamp(0, 255).to(torch.uint8)
        x, y = int(bernoulli.integers(width - side + 1)), int(bernoulli.integers(height - side + 1))
        image[:, y : y + side, x : x + side] = scaled(face, (side, side))
        square = (float(x), float(y), float(x + side), float(y + side))
        yield Shown(image=image, square=square, crop=face)


def framed(cut: Tensor, how: str) -> tuple[Tensor, Box]:
    """The crop with half its side of context all around: reflected or grey; and where it lies."""
    side = cut.shape[1]
    room = side // 2
    if how == "reflect":
        image = pad(cut[None].float(), (room,) * 4, mode="reflect")[0].to(torch.uint8)
    else:
        image = pad(cut, (room,) * 4, value=128)
    return image, (float(room), float(room), float(room + side), float(room + side))


def centre(box: Box) -> tuple[float, float]:
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


def larger(face: Face) -> float:
    return max(face.width, face.height)


def shows(face: Face, square: Box) -> bool:
    """Whether the face is the one that was put there."""
    x, y = face.centre
    side = square[2] - square[0]
    inside = square[0] < x < square[2] and square[1] < y < square[3]
    return inside and 0.5 <= larger(face) / side <= 2


def apart(a: Face, points: Tensor) -> float:
    """Mean distance of the landmarks over the distance between the eyes of the second."""
    eyes = (points[0] - points[1]).norm()
    return float((a.landmarks - points).norm(dim=1).mean() / eyes)


def mirrored(face: Face, width: int) -> Tensor:
    """Landmarks of a face in a mirrored image, as they lie in the image itself."""
    points = face.landmarks[[1, 0, 2, 4, 3]].clone()
    points[:, 0] = width - points[:, 0]
    return points


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, 5th and 95th percentile."""
    if not values:
        return {"n": 0}
    low, middle, high = np.percentile(values, (5, 50, 95)).round(4).tolist()
    return {"median": middle, "p5": low, "p95": high, "n": len(values)}


def relation(boxes: Sequence[tuple[Face, Face]]) -> dict[str, Any]:
    """How boxes of the second detector relate to those of the first for the same faces."""
    scale, dx, dy, points = [], [], [], []
    for first, second in boxes:
        scale.append(larger(second) / larger(first))
        dx.append((second.centre[0] - first.centre[0]) / larger(first))
        dy.append((second.centre[1] - first.centre[1]) / larger(first))
        points.append(apart(second, first.landmarks))
    return {"scale": spread(scale), "dx": spread(dx), "dy": spread(dy), "landmarks": spread(points)}


def same_faces(first: Found, second: Found) -> list[tuple[Face, Face]]:
    """The first's best face of each image and the second's that overlaps it most, where one does."""
    pairs = []
    for ours, theirs in zip(first.faces, second.faces, strict=True):
        if ours and theirs:
            best = max(theirs, key=lambda face: iou(face.box, ours[0].box))
            if iou(best.box, ours[0].box) > SAME:
                pairs.append((ours[0], best))
    return pairs


def unlabelled(found: dict[str, Found]) -> dict[str, Any]:
    """Figures of images where nobody noted the faces."""
    results: dict[str, Any] = {}
    for name, each in found.items():
        results[name] = {
            "images": len(each.ms),
            "with_face": sum(bool(faces) for faces in each.faces),
            "more_than_one": sum(len(faces) > 1 for faces in each.faces),
            "scores": spread([faces[0].score for faces in each.faces if faces]),
            "landmarks_mirrored": spread(each.mirrored),
            "ms": spread(each.ms),
        }
    return results | {"pairs": pairwise(found)}


def pairwise(found: dict[str, Found]) -> dict[str, Any]:
    """Every detector against the first."""
    first, *others = found
    return {f"{other} / {first}": relation(same_faces(found[first], found[other])) for other in others}


def labelled(
    found: dict[str, Found], shown: Sequence[Shown], detectors: dict[str, FaceDetector]
) -> dict[str, Any]:
    """Figures of scenes, whose one face lies in a known square."""
    results: dict[str, Any] = {}
    for name, each in found.items():
        right, wrong, points, missed, scores = [], 0, [], 0, []
        for scene, faces, doubtful in zip(shown, each.faces, each.doubtful, strict=True):
            assert scene.square is not None and scene.crop is not None
            square = scene.square
            hits = [face for face in faces if shows(face, square)]
            right.append(bool(hits))
            missed += not hits and any(shows(face, square) for face in doubtful)
            wrong += len(faces) - len(hits)
            if hits:
                scores.append(hits[0].score)
                own = reference(scene.crop, name, detectors[name])
                if own is not None:
                    points.append(apart(hits[0], at_place(own, square)))
        results[name] = {
            "scenes": len(shown),
            "recall": round(float(np.mean(right)), 4),
            "recall_by_side": by_side(shown, right),
            "only_doubtful": missed,
            "false": wrong,
            "scores": spread(scores),
            "landmarks_against_crop": spread(points),
            "landmarks_mirrored": spread(each.mirrored),
            "ms": spread(each.ms),
        }
    return results | {"pairs": pairwise(found)}


def by_side(shown: Sequence[Shown], right: Sequence[bool]) -> dict[str, float]:
    sides = [int(scene.square[2] - scene.square[0]) for scene in shown if scene.square is not None]
    return {
        str(side): round(float(np.mean([r for s, r in zip(sides, right, strict=True) if s == side])), 4)
        for side in SIDES
        if side in sides
    }


def reference(cut: Tensor, name: str, finder: FaceDetector) -> Tensor | None:
    """Landmarks in shares of the crop's side, found in the crop with grey around it."""
    image, square = framed(cut, "grey")
    faces = [face for face in confident(finder.detect(image), name) if shows(face, square)]
    if not faces:
        return None
    return (faces[0].landmarks - torch.tensor(square[:2])) / (square[2] - square[0])


def at_place(points: Tensor, square: Box) -> Tensor:
    return points * (square[2] - square[0]) + torch.tensor(square[:2])


def tight(crops: Sequence[Tensor], name: str, finder: FaceDetector) -> dict[str, Any]:
    """How a collection's crops relate to a detector's boxes."""
    results: dict[str, Any] = {}
    for how in ("reflect", "grey"):
        scale, dx, dy = [], [], []
        for each in crops:
            image, square = framed(each, how)
            faces = [face for face in confident(finder.detect(image), name) if shows(face, square)]
            if not faces:
                continue
            face = max(faces, key=lambda one: iou(one.box, square))
            (x, y), (at_x, at_y) = centre(square), face.centre
            scale.append((square[2] - square[0]) / larger(face))
            dx.append((x - at_x) / larger(face))
            dy.append((y - at_y) / larger(face))
        results[how] = {"crops": len(crops), "scale": spread(scale), "dx": spread(dx), "dy": spread(dy)}
    return results


def known_crops(shown: Sequence[Shown], finder: FaceDetector) -> list[Tensor]:
    """Crops by the rule `tight` of the images' best faces, 224 pixels wide."""
    made = []
    for each in shown:
        faces = confident(finder.detect(each.image), finder.name)
        if faces:
            made.append(scaled(crop(each.image, faces[0], TIGHT), (224, 224)))
    return made


def show(results: dict[str, Any], names: Sequence[str]) -> None:
    head = ("set", "detector", "images", "found", "false", "score (5 %)", "to first", "mirrored", "ms")
    table = Table(*head)
    for kind, name in itertools.product(("frames", "photos", "scenes"), names):
        if kind not in results:
            continue
        one = results[kind][name]
        pair = next((v for k, v in results[kind]["pairs"].items() if k.startswith(f"{name} /")), None)
        points = pair["landmarks"].get("median", "") if pair else ""
        if kind == "scenes":
            cells = (one["scenes"], f"{one['recall']:.1%}", one["false"])
        else:
            cells = (one["images"], f"{one['with_face'] / one['images']:.1%}", one["more_than_one"])
        score, steady, ms = one["scores"], one["landmarks_mirrored"], one["ms"]
        scores = f"{score['median']:.2f} ({score['p5']:.2f})"
        last = (f"{points:.3f}" if pair else "", f"{steady['median']:.3f}", f"{ms['median']:.0f}")
        table.add_row(kind, name, *map(str, cells), scores, *last)
    Console().print(table)
    for kind in ("frames", "photos", "scenes"):
        for pair, value in results.get(kind, {"pairs": {}})["pairs"].items():
            print(kind, pair, {key: tuple(value[key].values()) for key in ("scale", "dx", "dy", "landmarks")})
    for name, value in [*results["tight"].items(), *results["tight_known"].items()]:
        for how, figures in value.items():
            print("tight", name, how, {key: tuple(figures[key].values()) for key in ("scale", "dx", "dy")})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--detectors", nargs="+", default=["mtcnn", "centerface"])
    parser.add_argument("--scenes", type=int, default=300)
    parser.add_argument("--fps", type=float, default=1.0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    detectors = {name: detector(name) for name in args.detectors}
    for each in detectors.values():
        each.detect(torch.zeros(3, 200, 200, dtype=torch.uint8))  # loads the networks
    crops = crops_of(args.data / "dfdc-faces" / "train" / "real", args.scenes)
    scenes = list(scenes_of(crops))
    frames, faces = list(frames_of(args.data / "ffpp-clips", args.fps)), photos()
    results: dict[str, Any] = {
        "frames": unlabelled(in_turn(detectors, frames)),
        "scenes": labelled(in_turn(detectors, scenes), scenes, detectors),
        "tight": {name: tight(crops, name, finder) for name, finder in detectors.items()},
        "tight_known": {},
        "machine": f"{platform.machine()} {platform.processor()}".strip(),
    }
    if faces:
        results["photos"] = unlabelled(in_turn(detectors, faces))
    if "mtcnn" in detectors:
        for kind, images in (("frames", frames), ("photos", faces)):
            known = known_crops(images, detectors["mtcnn"])
            results["tight_known"][kind] = tight(known, "mtcnn", detectors["mtcnn"])
    show(results, args.detectors)
    write_json(OUT, results)


if __name__ == "__main__":
    main()
