"""Numbers as people read them: percent, points with their interval, p-values, counts. Written nowhere else."""

from __future__ import annotations

NORMS = ("Linf", "L2", "L1")
"""Norms, whose size is a part of the pixel range; a threat of another name has a unit of its own, such as severity."""

BLOCKS = "blocks"
"""What can be removed is called so, unless a strategy takes out smaller units."""


def percent(share: float) -> str:
    """Write a share in percent.

    >>> percent(0.9333)
    '93.3 %'
    """
    return f"{100 * share:.1f} %"


def between(share: float, low: float, high: float, sign: str = " %") -> str:
    """Write a share in percent with its interval; `sign` is what follows the share.

    >>> between(0.933, 0.898, 0.955), between(0.933, 0.898, 0.955, sign="")
    ('93.3 % [89.8, 95.5]', '93.3 [89.8, 95.5]')
    """
    return f"{100 * share:.1f}{sign} [{100 * low:.1f}, {100 * high:.1f}]"


def points(difference: float) -> str:
    """Write a difference of two shares in points.

    >>> points(0.012)
    '+1.2'
    """
    return f"{100 * difference:+.1f}"


def points_between(difference: float, low: float, high: float) -> str:
    """Write a difference of two shares in points with its interval.

    >>> points_between(0.012, -0.003, 0.027)
    '+1.2 [-0.3, +2.7]'
    """
    return f"{points(difference)} [{points(low)}, {points(high)}]"


def p_value(p: float) -> str:
    """Write a p-value to three digits.

    >>> p_value(0.0316), p_value(0.0002)
    ('0.032', '< 0.001')
    """
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def plural(count: int, word: str) -> str:
    """Write a count with its word.

    >>> plural(1, "block"), plural(3, "block")
    ('1 block', '3 blocks')
    """
    return f"{count} {word}{'' if count == 1 else 's'}"
