"""A contact sheet: a few faces of each split and label, to see what a set holds."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from verovolto.core.errors import UnreadableImage
from verovolto.data.faceset import FaceSet

TILE = 96
CAPTION = 22


def contact_sheet(faces: FaceSet, *, across: int = 12, seed: int = 0, most: int = 24) -> Image.Image:
    """An RGB image: a caption and a row of up to `across` random faces for each split, label and method.

    At most `most` groups are shown, in the order of their names; one that cannot be read is a crossed tile.
    """
    random = np.random.Generator(np.random.Philox(np.random.SeedSequence(seed)))
    groups = _groups(faces)
    shown = sorted(groups.items())[:most]
    sheet = Image.new("RGB", (across * TILE, max(1, len(shown)) * (TILE + CAPTION)), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=14)
    for line, (name, rows) in enumerate(shown):
        top = line * (TILE + CAPTION)
        draw.text((4, top + 2), f"{name}: {len(rows):,} faces", fill="black", font=font)
        for column, row in enumerate(random.permutation(rows)[:across]):
            sheet.paste(_tile(faces, int(row)), (column * TILE, top + CAPTION))
    return sheet


def _groups(faces: FaceSet) -> dict[str, np.ndarray[tuple[int], np.dtype[np.int64]]]:
    """Rows of each combination of split, label and method."""
    table = faces.columns("split", "label", "method")
    columns = [column.fill_null("").combine_chunks().dictionary_encode() for column in table.columns]
    codes = np.stack([np.asarray(column.indices) for column in columns], axis=1)
    unique, which = np.unique(codes, axis=0, return_inverse=True)
    names = [
        " / ".join(
            text
            for column, code in zip(columns, row, strict=True)
            if (text := column.dictionary[int(code)].as_py())
        )
        for row in unique
    ]
    return {name: np.flatnonzero(which == index) for index, name in enumerate(names)}


def _tile(faces: FaceSet, row: int) -> Image.Image:
    try:
        pixels = faces.image(row).permute(1, 2, 0).numpy()
    except UnreadableImage:
        tile = Image.new("RGB", (TILE, TILE), "lightgrey")
        ImageDraw.Draw(tile).line([(0, 0), (TILE, TILE)], fill="red")
        return tile
    image = Image.fromarray(pixels)
    image.thumbnail((TILE - 2, TILE - 2))
    return image
