"""Numbers and names in words."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from markupsafe import Markup, escape

_SPACE = "\N{NO-BREAK SPACE}"


def percent(value: float | None, digits: int = 2) -> str:
    """Return a share as a percentage with so many significant digits.

    What is less than all is never rounded to 100 %.
    """
    if value is None or math.isnan(value):
        return "unknown"
    number = 100 * value
    if number == 0:
        return f"0{_SPACE}%"
    places = digits - 1 - math.floor(math.log10(abs(number)))
    if 99 < number < 100:
        places = max(places, -math.floor(math.log10(100 - number)))
    return f"{number:.{min(7, max(0, places))}f}{_SPACE}%"


def one_in(value: float | None) -> str:
    """Return a rare rate as ``1 in N``."""
    if value is None:
        return "an unknown share"
    if value <= 0:
        return "none"
    count = 1 / value
    if count < 10:
        return f"{10 * value:.1f} in 10".replace(".0 ", " ")
    digits = 2 - 1 - math.floor(math.log10(count))
    return f"1 in {round(count, digits):,.0f}"


def bytes_(value: int) -> str:
    """Return a size in bytes for people."""
    size = float(value)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            return f"{size:.0f} {unit}" if unit == "B" or size >= 10 else f"{size:.1f} {unit}"
        size /= 1000
    raise AssertionError


def name(value: str) -> str:
    """Return a field's name for people: ``inter_ocular_distance`` as ``Inter ocular distance``."""
    text = str(value).replace("_", " ").strip()
    return text[:1].upper() + text[1:]


def day(value: datetime | str) -> str:
    """Return the day and time of an enrolment."""
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    return f"{moment:%d %b %Y, %H:%M} UTC"


def number(value: Any) -> str:
    """Return a number with thousands apart."""
    return f"{value:,}"


def plural(count: int, one: str, many: str | None = None) -> str:
    """Return the noun that goes with a number."""
    return one if count == 1 else many or one + "s"


def marked(text: str) -> Markup:
    """Return a text whose parts between backticks are code; everything in it is escaped."""
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return escape(text)
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if number % 2 else escape(part)
        for number, part in enumerate(parts)
    )


FILTERS: Mapping[str, Callable[..., str]] = {
    "percent": percent,
    "one_in": one_in,
    "bytes": bytes_,
    "name": name,
    "day": day,
    "number": number,
    "plural": plural,
    "marked": marked,
}
