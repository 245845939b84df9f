"""The face swap on drawn faces: where it changes the target, and where it must not."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from verovolto.core.errors import InputError
from verovolto.synthesis.face_swap import inner_face_mask, swap_faces

LANDMARKS = torch.tensor([[30.0, 40.0], [60.0, 40.0], [45.0, 56.0], [34.0, 72.0], [56.0, 72.0]])


def drawn(
    seed: int, landmarks: Tensor = LANDMARKS, size: tuple[int, int] = (112, 92), *, grey: bool = False
) -> Tensor:
    """Smooth blobs of random colours at the landmarks, on a plain ground: uint8 [3, H, W]."""
    generator = torch.Generator().manual_seed(seed)
    y, x = torch.meshgrid(torch.arange(size[0]), torch.arange(size[1]), indexing="ij")
    image = torch.rand(3, 1, 1, generator=generator).expand(3, *size).clone() * 150 + 50
    width = float((landmarks[1] - landmarks[0]).norm()) / 5
    for px, py in landmarks.tolist():
        blob = torch.exp(-((x - px).square() + (y - py).square()) / (2 * width**2))
        image += blob * (torch.rand(3, 1, 1, generator=generator) * 200 - 100)
    image = image.mean(0, keepdim=True).expand(3, *size) if grey else image
    return image.clamp(0, 255).to(torch.uint8)


def test_a_face_swapped_with_itself_stays_the_same() -> None:
    image = drawn(0)
    same = swap_faces(image, LANDMARKS, image, LANDMARKS)
    assert (same.int() - image.int()).abs().max() <= 1


def test_pixels_outside_the_mask_are_untouched_and_those_inside_change() -> None:
    target, donor = drawn(0), drawn(1)
    forged = swap_faces(target, LANDMARKS, donor, LANDMARKS)
    mask = inner_face_mask(LANDMARKS, 112, 92)
    assert forged.dtype == torch.uint8 and forged.shape == target.shape
    assert torch.equal(forged[:, mask == 0], target[:, mask == 0])
    assert (forged[:, mask == 1].float() - target[:, mask == 1].float()).abs().mean() > 2


def test_inside_the_mask_lies_the_donor_with_the_targets_colours() -> None:
    target, donor = drawn(0), drawn(1)
    forged = swap_faces(target, LANDMARKS, donor, LANDMARKS)
    inside = inner_face_mask(LANDMARKS, 112, 92) == 1
    ours, theirs, own = (image[:, inside].float() for image in (forged, donor, target))
    assert (ours.mean(1) - own.mean(1)).abs().max() < 12
    for channel in range(3):
        with_donor = torch.corrcoef(torch.stack((ours[channel], theirs[channel])))[0, 1]
        assert with_donor > 0.5


def test_the_donor_may_be_turned_shifted_and_larger() -> None:
    """A donor photograph three times as large and a face elsewhere gives nearly the same forgery."""
    target = drawn(0)
    near = swap_faces(target, LANDMARKS, drawn(1), LANDMARKS)
    moved = 3 * LANDMARKS + torch.tensor([40.0, 25.0])
    far = swap_faces(target, LANDMARKS, drawn(1, moved, (420, 350)), moved)
    assert (near.float() - far.float()).abs().mean() < 1
    inside = inner_face_mask(LANDMARKS, 112, 92) == 1
    assert (near[:, inside].float() - far[:, inside].float()).abs().max() < 8


def test_where_the_donors_photograph_ends_the_target_stays() -> None:
    cut = 45  # columns of the donor left of its nose are missing
    landmarks = LANDMARKS - torch.tensor([float(cut), 0.0])
    target, donor = drawn(0), drawn(1)[:, :, cut:]
    forged = swap_faces(target, LANDMARKS, donor, landmarks)
    assert torch.equal(forged[:, :, : cut - 1], target[:, :, : cut - 1])
    assert not torch.equal(forged, target)


def test_a_grey_target_gives_a_grey_forgery() -> None:
    for donor in (drawn(1, grey=True), drawn(1)):
        forged = swap_faces(drawn(0, grey=True), LANDMARKS, donor, LANDMARKS)
        assert torch.equal(forged[0], forged[1]) and torch.equal(forged[1], forged[2])


def test_the_inputs_are_left_as_they_were() -> None:
    target, donor = drawn(0), drawn(1)
    before = target.clone(), donor.clone(), LANDMARKS.clone()
    swap_faces(target, LANDMARKS, donor, LANDMARKS)
    assert (
        torch.equal(target, before[0]) and torch.equal(donor, before[1]) and torch.equal(LANDMARKS, before[2])
    )


def test_the_mask_covers_the_features_and_fades_smoothly() -> None:
    mask = inner_face_mask(LANDMARKS, 112, 92)
    assert float(mask.min()) == 0 and float(mask.max()) == 1
    for x, y in LANDMARKS.int().tolist():
        assert mask[y, x] > 0.6
    assert (mask[:, 1:] - mask[:, :-1]).abs().max() < 0.3
    assert mask[0].max() == 0 and mask[-1].max() == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"target": torch.zeros(3, 8, 8)}, "target must be uint8"),
        ({"donor": torch.zeros(8, 8, dtype=torch.uint8)}, "donor must be uint8"),
        ({"donor_landmarks": torch.zeros(5, 2)}, "one place"),
        ({"target_landmarks": torch.full((5, 2), float("inf"))}, "5 finite landmarks"),
        ({"target_landmarks": LANDMARKS + 1000}, "outside its photograph"),
    ],
)
def test_what_cannot_be_swapped_is_refused(change: dict[str, Tensor], message: str) -> None:
    given = {
        "target": drawn(0),
        "target_landmarks": LANDMARKS,
        "donor": drawn(1),
        "donor_landmarks": LANDMARKS,
    }
    with pytest.raises(InputError, match=message):
        swap_faces(**{**given, **change})
