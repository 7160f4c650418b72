"""The colour scale of every output, from dark blue to light yellow; its lightness grows with the value."""

_ANCHORS = (
    (0x0B, 0x24, 0x54),
    (0x3B, 0x4F, 0x76),
    (0x71, 0x77, 0x7A),
    (0xAF, 0xA4, 0x6C),
    (0xFB, 0xE7, 0x5A),
)


def scale(shade: float) -> tuple[int, int, int]:
    """Red, green and blue from 0 to 255 at `shade`, from 0 to 1.

    >>> scale(0.0), scale(1.0)
    ((11, 36, 84), (251, 231, 90))
    """
    position = min(max(shade, 0.0), 1.0) * (len(_ANCHORS) - 1)
    low = min(int(position), len(_ANCHORS) - 2)
    share = position - low
    r, g, b = (round(x + (y - x) * share) for x, y in zip(_ANCHORS[low], _ANCHORS[low + 1], strict=True))
    return r, g, b


def lightness(colour: tuple[int, int, int]) -> float:
    """Relative luminance from 0 to 1, as WCAG 2 defines it."""
    red, green, blue = (c / 3294.6 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def ink(shade: float) -> tuple[int, int, int]:
    """Black or white: the colour with more contrast to the scale at `shade`.

    >>> ink(0.0), ink(1.0)
    ((255, 255, 255), (0, 0, 0))
    """
    background = lightness(scale(shade))
    return (0, 0, 0) if (background + 0.05) / 0.05 > 1.05 / (background + 0.05) else (255, 255, 255)


def hex_colour(colour: tuple[int, int, int]) -> str:
    """The colour as `#rrggbb`."""
    return "#{:02x}{:02x}{:02x}".format(*colour)
