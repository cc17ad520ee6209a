"""Reads and writes PNG files."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from afs.errors import DataError, boundary
from afs.evaluate.screenshots.image_diff import Pixels

LARGEST = 64_000_000
"""Larger images are refused: no screenshot is this big."""


def read_png(path: Path) -> Pixels:
    """An image file as pixels."""
    with boundary(DataError, str(path)), Image.open(path) as image:
        if image.width * image.height > LARGEST:
            raise DataError(f"{path}: {image.width}×{image.height} pixels are too many")
        return np.asarray(image.convert("RGB"), dtype=np.uint8)


def write_png(pixels: Pixels) -> bytes:
    """Pixels as a PNG."""
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    return content.getvalue()
