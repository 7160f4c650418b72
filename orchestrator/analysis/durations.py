"""Durations as short texts."""


def duration(seconds: float) -> str:
    """Seconds in the two largest units: `8 s`, `3 min 20 s`, `5 h 12 min`.

    >>> duration(200)
    '3 min 20 s'
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def estimate(seconds: float) -> str:
    """An estimated duration in one unit: `40 s`, `3 min`, `16 h`.

    >>> estimate(40), estimate(200), estimate(57_000)
    ('40 s', '3 min', '16 h')
    """
    for unit, size, most in (("s", 1, 100), ("min", 60, 120), ("h", 3600, 72)):
        if seconds < most * size:
            return f"{max(round(seconds / size), 1)} {unit}"
    return f"{round(seconds / 86_400):,} days"
