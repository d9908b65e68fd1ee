"""Plots as SVG, drawn on the server: plain shapes with class names, and nothing inline.

Colours and line widths come from the style sheet, so that plots follow the page's light or dark
look. Every plot has a title and a description for those who do not see it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from markupsafe import Markup, escape
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Transform = Callable[[Floats], Floats]

#: Margins around the axes: left, top, right, bottom.
_MARGINS = (80.0, 10.0, 12.0, 44.0)


@dataclass(frozen=True, slots=True)
class Scale:
    """From values to a coordinate, through a transform such as a logarithm."""

    low: float
    high: float
    start: float
    end: float
    transform: Transform = np.asarray

    def __call__(self, values: ArrayLike) -> Floats:
        """Return coordinates; what lies beyond the ends is put onto them."""
        inside = np.clip(np.asarray(values, np.float64), self.low, self.high)
        ends = self.transform(np.array([self.low, self.high]))
        share = (self.transform(inside) - ends[0]) / (ends[1] - ends[0])
        return np.asarray(self.start + share * (self.end - self.start), np.float64)


@dataclass(slots=True)
class Plot:
    """A plot in the making.

    Parameters
    ----------
    name
        Unlike that of any other plot of the page.
    title, description
        What it shows; read aloud by screen readers.
    """

    name: str
    title: str
    description: str
    width: float = 460.0
    height: float = 270.0
    parts: list[Markup] = field(default_factory=list)

    def x(self, low: float, high: float, transform: Transform = np.asarray) -> Scale:
        """Return the scale of the horizontal axis."""
        left, _, right, _ = _MARGINS
        return Scale(low, high, left, self.width - right, transform)

    def y(self, low: float, high: float, transform: Transform = np.asarray) -> Scale:
        """Return the scale of the vertical axis."""
        _, top, _, bottom = _MARGINS
        return Scale(low, high, self.height - bottom, top, transform)

    def axes(
        self,
        x: Scale,
        y: Scale,
        xticks: Iterable[tuple[float, str]],
        yticks: Iterable[tuple[float, str]],
        xlabel: str,
        ylabel: str,
    ) -> None:
        """Draw grid, ticks and labels."""
        for value, text in yticks:
            at = float(y(value))
            self._add(
                '<line class="grid" x1="{}" x2="{}" y1="{}" y2="{}"/>', x.start, x.end, at, at
            )
            self._text("tick end", x.start - 8, at + 4, text)
        for value, text in xticks:
            at = float(x(value))
            self._add(
                '<line class="tick-mark" x1="{}" x2="{}" y1="{}" y2="{}"/>',
                at, at, y.start, y.start + 5,
            )  # fmt: skip
            self._text("tick middle", at, y.start + 19, text)
        self._add(
            '<line class="axis" x1="{}" x2="{}" y1="{}" y2="{}"/>', x.start, x.end, y.start, y.start
        )
        self._text("label middle", (x.start + x.end) / 2, self.height - 6, xlabel)
        middle = (y.start + y.end) / 2
        self._add(
            '<text class="label middle" transform="translate(14 {}) rotate(-90)">{}</text>',
            middle, ylabel,
        )  # fmt: skip

    def line(self, kind: str, xs: Floats, ys: Floats) -> None:
        """Draw a line through coordinates."""
        self._add('<polyline class="curve {}" points="{}"/>', kind, _points(xs, ys))

    def area(self, kind: str, xs: Floats, ys: Floats, base: float | Floats) -> None:
        """Fill what lies between a line and a base line or height."""
        bottom = np.broadcast_to(np.asarray(base, np.float64), ys.shape)
        points = _points(np.concatenate([xs, xs[::-1]]), np.concatenate([ys, bottom[::-1]]))
        self._add('<polygon class="area {}" points="{}"/>', kind, points)

    def upright(self, kind: str, at: float, y: Scale) -> None:
        """Draw a vertical line."""
        self._add(
            '<line class="mark {}" x1="{}" x2="{}" y1="{}" y2="{}"/>',
            kind, at, at, y.start, y.end,
        )  # fmt: skip

    def beside(self, kind: str, at: float, y: Scale, text: str, row: int, *, left: bool) -> None:
        """Write the text of a vertical line, in one of the rows below its top."""
        side = " end" if left else ""
        self._text(f"mark-text {kind}{side}", at + (-8 if left else 8), y.end + 13 + 18 * row, text)

    def dot(self, kind: str, at_x: float, at_y: float, radius: float = 5) -> None:
        """Draw a point."""
        self._add('<circle class="dot {}" cx="{}" cy="{}" r="{}"/>', kind, at_x, at_y, radius)

    def whisker(self, kind: str, at: float, low: float, high: float) -> None:
        """Draw an interval as a vertical bar."""
        self._add('<path class="whisker {}" d="M{} {}V{}M{} {}h8M{} {}h8"/>',
                  kind, at, low, high, at - 4, low, at - 4, high)  # fmt: skip

    def note(self, kind: str, at_x: float, at_y: float, text: str) -> None:
        """Write a text."""
        self._text(f"note {kind}", at_x, at_y, text)

    def markup(self) -> Markup:
        """Return the finished plot."""
        head = Markup(
            '<svg class="plot" viewBox="0 0 {w:g} {h:g}" role="img" '
            'aria-labelledby="{n}-title {n}-text"><title id="{n}-title">{t}</title>'
            '<desc id="{n}-text">{d}</desc>'
        ).format(w=self.width, h=self.height, n=self.name, t=self.title, d=self.description)
        return head + Markup("").join(self.parts) + Markup("</svg>")

    def _text(self, kind: str, at_x: float, at_y: float, text: str) -> None:
        self._add('<text class="{}" x="{}" y="{}">{}</text>', kind, at_x, at_y, text)

    def _add(self, form: str, *values: object) -> None:
        texts = [
            f"{value:.1f}" if isinstance(value, float) else escape(str(value)) for value in values
        ]
        self.parts.append(Markup(form).format(*texts))


def round_ticks(low: float, high: float, count: int = 6) -> list[tuple[float, str]]:
    """Return about so many round values between two, with their texts."""
    step = 10.0 ** np.floor(np.log10((high - low) / count))
    step *= next(f for f in (1, 2, 2.5, 5, 10) if (high - low) / (step * f) <= count)
    first = np.ceil(low / step)
    values = [float(step * i) for i in itertools.takewhile(
        lambda i: step * i <= high + 1e-9, itertools.count(int(first)))]  # fmt: skip
    digits = max(0, -int(np.floor(np.log10(step) + 1e-9))) + (
        1 if f"{step:.6g}".endswith("25") else 0
    )
    return [(value, f"{value:.{digits}f}") for value in values]


def _points(xs: Sequence[float] | Floats, ys: Sequence[float] | Floats) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(xs, ys, strict=True))
