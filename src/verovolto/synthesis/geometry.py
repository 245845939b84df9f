"""Plane geometry of face landmarks: the similarity between two faces, the inner face as a convex shape."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import grid_sample

from verovolto.core.errors import InputError


def umeyama(source: Float[Tensor, "n 2"], target: Float[Tensor, "n 2"]) -> Float[Tensor, "2 3"]:
    """The similarity (scale, rotation, shift; no mirroring) that carries `source` onto `target` best.

    Minimises the mean squared distance in closed form: S. Umeyama, "Least-squares estimation of
    transformation parameters between two point patterns", IEEE TPAMI 13(4), 1991, eqs. 40-43.

    Args:
        source: points `[N, 2]`, N >= 2, not all equal.
        target: points `[N, 2]`, in the same order.

    Returns:
        float64 `[2, 3]`: `M @ (x, y, 1)` is the point's image.

    Raises:
        InputError: the shapes differ, a coordinate is not finite, or the points of `source` coincide.
    """
    if source.shape != target.shape or source.ndim != 2 or source.shape[1] != 2 or len(source) < 2:
        raise InputError(f"cannot align {list(source.shape)} points on {list(target.shape)} points")
    x, y = source.double(), target.double()
    if not (torch.isfinite(x).all() and torch.isfinite(y).all()):
        raise InputError("cannot align points whose coordinates are not finite")
    mean_x, mean_y = x.mean(0), y.mean(0)
    variance = (x - mean_x).square().sum(1).mean()
    if float(variance) <= 1e-12 * (1 + float(mean_x.square().sum())):
        raise InputError(
            "cannot align points that all lie at one place", hint="are these a face's landmarks?"
        )
    covariance = (y - mean_y).T @ (x - mean_x) / len(x)
    u, singular, vt = torch.linalg.svd(covariance)
    # Sign of the determinant, so that the best fit is a rotation and never a reflection.
    sign = torch.tensor([1.0, 1.0 if torch.det(u) * torch.det(vt) >= 0 else -1.0], dtype=torch.float64)
    rotation = u @ torch.diag(sign) @ vt
    scale = (singular * sign).sum() / variance
    shift = mean_y - scale * rotation @ mean_x
    return torch.cat((scale * rotation, shift[:, None]), dim=1)


def similarity_scale(matrix: Float[Tensor, "2 3"]) -> float:
    """Lengths after the similarity over lengths before it."""
    return float(torch.det(matrix[:, :2]).abs().sqrt())


def invert(matrix: Float[Tensor, "2 3"]) -> Float[Tensor, "2 3"]:
    """The inverse of an affine map. Raises `InputError` when it collapses the plane."""
    linear = matrix[:, :2]
    if float(torch.det(linear).abs()) < 1e-12:
        raise InputError("the two faces cannot be aligned: one would shrink to a point")
    inverse = torch.linalg.inv(linear)
    return torch.cat((inverse, -inverse @ matrix[:, 2:]), dim=1)


def pixel_centres(height: int, width: int) -> Float[Tensor, "h w 2"]:
    """Coordinates `(x, y)` of all pixel centres, float64 `[H, W, 2]`; the first pixel's centre is (0, 0)."""
    y, x = torch.meshgrid(
        torch.arange(height, dtype=torch.float64), torch.arange(width, dtype=torch.float64), indexing="ij"
    )
    return torch.stack((x, y), dim=-1)


def transform(matrix: Float[Tensor, "2 3"], points: Float[Tensor, "*n 2"]) -> Float[Tensor, "*n 2"]:
    """Images of points under an affine map."""
    return points @ matrix[:, :2].T + matrix[:, 2]


def sample(image: Float[Tensor, "c h w"], points: Float[Tensor, "y x 2"]) -> Float[Tensor, "c y x"]:
    """Bilinear values of an image at points `(x, y)` in pixels; outside, the border's value."""
    height, width = image.shape[1:]
    size = torch.tensor([width, height], dtype=points.dtype)
    grid = (2 * points + 1) / size - 1
    return grid_sample(image[None], grid[None], mode="bilinear", padding_mode="border", align_corners=False)[
        0
    ]


def convex_hull(points: Float[Tensor, "n 2"]) -> Float[Tensor, "m 2"]:
    """Corners of the convex hull, in order (Andrew's monotone chain), float64 `[M, 2]`, 3 <= M <= N.

    Raises `InputError` when the points lie on one line.
    """
    ordered = sorted({(float(x), float(y)) for x, y in points.tolist()})
    hull = _chain(ordered) + _chain(ordered[::-1])
    if len(hull) < 3:
        raise InputError("the landmarks lie on one line", hint="are these a face's landmarks?")
    return torch.tensor(hull, dtype=torch.float64)


def _chain(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """One side of the hull of sorted points, without its last point."""
    side: list[tuple[float, float]] = []
    for point in points:
        while len(side) >= 2 and _cross(side[-2], side[-1], point) <= 0:
            side.pop()
        side.append(point)
    return side[:-1]


def _cross(o: tuple[float, float], a: tuple[float, float], b: tuple[float, float]) -> float:
    return (a[0] - o[0]) * (b[1] - o[1]) - (a[1] - o[1]) * (b[0] - o[0])


def depth_inside(hull: Float[Tensor, "m 2"], points: Float[Tensor, "*n 2"]) -> Float[Tensor, "*n"]:
    """Distance of points to the nearest edge line of a convex polygon, pixels; positive inside it.

    For a convex shape this is the distance to its border for points inside; no rasteriser is needed.
    """
    edge = hull.roll(-1, 0) - hull
    normal = torch.stack((-edge[:, 1], edge[:, 0]), dim=1)
    normal = (
        normal / torch.hypot(*normal.T)[:, None]
    )  # not the root of squares, which may be none of tiny lengths
    distances: Tensor = ((points[..., None, :] - hull) * normal).sum(-1)
    return distances.amin(-1)


def depth_in_image(height: int, width: int, points: Float[Tensor, "*n 2"]) -> Float[Tensor, "*n"]:
    """Distance of points to the nearest border of an image, pixels; negative outside it."""
    x, y = points[..., 0], points[..., 1]
    return torch.stack((x + 0.5, width - 0.5 - x, y + 0.5, height - 0.5 - y)).amin(0)


def soft_step(depth: Float[Tensor, "*n"], feather: float) -> Float[Tensor, "*n"]:
    """Cubic step from 0 at the border to 1 at `feather` pixels inside; smooth at both ends."""
    t = (depth / feather).clamp(0, 1)
    return t * t * (3 - 2 * t)
