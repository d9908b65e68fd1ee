"""The gate before the recogniser: which faces it refuses, and what it tells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vultus.errors import ConfigError
from vultus.quality.reasons import reasons

#: Overall quality below which enrolment and identification refuse a face: the greatest multiple of
#: 0.05 that refuses none of 400 pictures of LFW DevTrain people (at most 0.9 % with 95 %
#: confidence). It refuses 15 % where two of three probes are worsened at random.
MIN_QUALITY = 0.25


def checked(least: float | None) -> float | None:
    """Return a threshold of the gate; None, or 0, lets everything through.

    Raises
    ------
    ConfigError
        If it does not lie in [0, 1].
    """
    if least is None:
        return None
    if not 0 <= least <= 1:
        raise ConfigError(f"quality lies between 0 and 1, got {least}")
    return least or None


def refusal(quality: Mapping[str, Any], least: float) -> str | None:
    """Return why a picture is refused, or None where its quality suffices.

    Parameters
    ----------
    quality
        ``overall`` and components in [0, 1].
    least
        Quality wanted.
    """
    overall = quality["overall"]
    if overall >= least:
        return None
    told = reasons(quality)
    why = "; ".join(told) or "the face as a whole; take another picture, from the front"
    return f"quality {100 * overall:.0f} of 100, {100 * least:.0f} wanted: {why}"
