"""From encoded or raw pixels to a square uint8 image."""

import io

import numpy as np
from numpy.typing import NDArray

FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "GIF")
REDUCING_GAP = 2.0
"""Pixels that the last step of resizing begins with, as a multiple of `size`."""


def decoded(content: bytes, size: int) -> NDArray[np.uint8]:
    """A photo's file content as RGB, uint8 [size, size, 3], bilinear, without keeping its proportions.

    A JPEG is decoded at a reduced scale of at least REDUCING_GAP times `size`. An animation is its first frame.
    Raises Pillow's errors for a broken file (OSError, SyntaxError, ValueError and others).
    """
    from PIL import Image

    with Image.open(io.BytesIO(content), formats=FORMATS) as opened:
        gap = round(REDUCING_GAP * size)
        opened.draft(None, (gap, gap))
        opened.load()
        photo: Image.Image = opened
        if opened.mode.startswith("I"):
            # Pillow clips 16 bits to 8 instead of scaling, which leaves a white image.
            photo = Image.fromarray((np.asarray(opened).clip(0, 65535) // 256).astype(np.uint8))
        photo = photo.convert("RGB")
        return np.asarray(photo.resize((size, size), Image.Resampling.BILINEAR, reducing_gap=REDUCING_GAP))


def resized(image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Raw pixels uint8 [height, width, channels] (1 or 3) to uint8 [size, size, channels], bilinear."""
    from PIL import Image

    if image.shape[:2] == (size, size):
        return image
    grey = image.shape[2] == 1
    photo = Image.fromarray(image[:, :, 0] if grey else image)
    result = np.asarray(photo.resize((size, size), Image.Resampling.BILINEAR))
    return result[:, :, np.newaxis] if grey else result
