"""What calibrations and stored scores look like, in plots.

A plot that would have nothing to show, such as the DET of scores without any error, is empty.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from vultus.measure.curves import Roc
from vultus.measure.distributions import probit
from vultus.measure.intervals import Estimate, wilson
from vultus.recognition.calibration import Calibration
from vultus.service.pages import wording
from vultus.service.pages.drawing import Plot, Scale, round_ticks

Floats = NDArray[np.float64]

_RATES = (1e-6, 1e-5, 1e-4, 1e-3, 0.01, 0.1, 1.0)
_DET_RATES = (1e-6, 1e-5, 1e-4, 1e-3, 0.01, 0.05, 0.2, 0.5, 0.8)
_BINS = 44
NOTHING = Markup("")
#: Room that the text of a line takes.
_TEXT = 95.0


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """A threshold with its two error rates and their intervals."""

    fmr: Estimate
    threshold: float
    fnmr: Estimate


def operating_point(calibration: Calibration, fmr: float) -> OperatingPoint:
    """Return where a false match rate is kept, with Wilson's intervals of both rates.

    Comparisons that share people are not independent, so that true intervals are wider.
    """
    threshold = calibration.threshold_at(fmr)
    matches = calibration.fmr_at(threshold) or 0.0
    misses = calibration.fnmr_at(threshold)
    return OperatingPoint(
        wilson(round(matches * calibration.n_impostor), calibration.n_impostor),
        threshold,
        wilson(round(misses * calibration.n_genuine), calibration.n_genuine),
    )


def densities(calibration: Calibration, similarity: float | None, threshold: float) -> Markup:
    """Draw where similarities of the same and of different people fall, and this score."""
    t = np.array(calibration.thresholds)
    if not t[0] < t[-1]:
        return NOTHING
    low, high = _span(t, similarity, threshold)
    said = f"the threshold at {threshold:.3f}"
    if similarity is not None:
        said += f" and this similarity at {similarity:.3f}"
    plot = Plot(
        "densities",
        "Where similarities fall",
        f"Two humps over the cosine similarity from {low:.2f} to {high:.2f}: pairs of different "
        f"people on the left, pairs of one person on the right, with {said}.",
    )
    edges = np.linspace(t[0], t[-1], _BINS + 1)
    width = edges[1] - edges[0]
    shares = {
        "impostor": -np.diff(np.interp(edges, t, calibration.fmr)),
        "genuine": np.diff(np.interp(edges, t, calibration.fnmr)),
    }
    middles = (edges[:-1] + edges[1:]) / 2
    heights = {kind: share / width for kind, share in shares.items()}
    top = max(float(h.max()) for h in heights.values()) * 1.3
    if not top > 0:
        return NOTHING
    x, y = plot.x(low, high), plot.y(0, top)
    plot.axes(x, y, round_ticks(low, high), [], "Cosine similarity", "Share of pairs")
    for kind, values in heights.items():
        xs, ys = x(middles), y(values)
        plot.area(kind, xs, ys, y.start)
        plot.line(kind, xs, ys)
    _marks(plot, x, y, similarity, threshold)
    return plot.markup()


def error_rates(calibration: Calibration, similarity: float | None, threshold: float) -> Markup:
    """Draw both error rates over the threshold."""
    t, fmr, fnmr = (
        np.array(v) for v in (calibration.thresholds, calibration.fmr, calibration.fnmr)
    )
    if not t[0] < t[-1]:
        return NOTHING
    low, high = _span(t, similarity, threshold)
    lowest = 10.0 ** math.floor(math.log10(max(calibration.smallest_fmr, 1e-9)))
    plot = Plot(
        "rates",
        "Error rates at each threshold",
        "The false match rate falls and the false non-match rate rises with the threshold, on a "
        f"logarithmic axis, with the threshold in use at {threshold:.3f}.",
    )
    x, y = plot.x(low, high), plot.y(lowest, 10.0, np.log10)
    ticks = [(rate, _rate_text(rate)) for rate in _RATES if rate >= lowest]
    plot.axes(x, y, round_ticks(low, high), ticks, "Threshold (cosine similarity)", "Error rate")
    for kind, rates in (("impostor", fmr), ("genuine", fnmr)):
        shown = rates > 0
        plot.line(kind, x(t[shown]), y(rates[shown]))
    _marks(plot, x, y, similarity, threshold)
    return plot.markup()


def det_of_calibration(calibration: Calibration) -> Markup:
    """Draw FNMR over FMR on probit axes, with Wilson's band of FNMR."""
    fmr, fnmr = np.array(calibration.fmr), np.array(calibration.fnmr)
    if not (0 < min(fmr) < max(fmr) and max(fnmr) > 0):
        return NOTHING
    bands = [wilson(round(v * calibration.n_genuine), calibration.n_genuine) for v in fnmr]
    plot = _det_plot("calibration-det", calibration.data, min(fmr), fmr, fnmr)
    band = np.array([[e.low, e.high] for e in bands])
    x, y = plot.scales
    plot.plot.area("accent", x(fmr), y(band[:, 1]), y(band[:, 0]))
    plot.draw(fmr, fnmr)
    return plot.plot.markup()


def det_of_scores(curve: Roc, points: Sequence[tuple[float, Estimate]]) -> Markup:
    """Draw FNMR over FMR on probit axes; ``points`` are FMRs with estimates of FNMR."""
    thin = curve.thin(800)
    shown = (thin.fmr > 0) & (thin.fmr < 1) & (thin.fnmr > 0) & (thin.fnmr < 1)
    if not shown.any():
        return NOTHING
    plot = _det_plot(
        "report-det", "the scores", 1 / curve.n_impostor, thin.fmr[shown], thin.fnmr[shown]
    )
    plot.draw(thin.fmr[shown], thin.fnmr[shown])
    for fmr, estimate in points:
        plot.interval(fmr, estimate)
    return plot.plot.markup()


def roc_of_scores(curve: Roc, points: Sequence[tuple[float, Estimate]]) -> Markup:
    """Draw the true accept rate over FMR; ``points`` are FMRs with estimates of the TAR."""
    thin = curve.thin(800)
    shown = thin.fmr > 0
    lowest = 10.0 ** math.floor(math.log10(1 / curve.n_impostor))
    tar = thin.tar[shown]
    floor = max(0.0, math.floor(float(min(tar.min(), *(e.low for _, e in points), 0.95)) * 10) / 10)
    plot = Plot(
        "report-roc",
        "ROC: accepted pairs of one person over false matches",
        f"True accept rate from {tar.min():.3f} at the lowest false match rate to {tar.max():.3f}, "
        f"with 95 % intervals at {len(points)} false match rates.",
    )  # fmt: skip
    x, y = plot.x(lowest, 1.0, np.log10), plot.y(floor, 1.0)
    xticks = [(rate, _rate_text(rate)) for rate in _RATES if rate >= lowest]
    plot.axes(
        x, y, _apart(x, xticks, 62), round_ticks(floor, 1.0), "False match rate", "True accept rate"
    )
    plot.line("accent", x(thin.fmr[shown]), y(tar))
    for fmr, estimate in points:
        at = float(x(fmr))
        plot.whisker("accent", at, float(y(estimate.low)), float(y(estimate.high)))
        plot.dot("accent", at, float(y(estimate.value)), 4)
    return plot.markup()


def score_histogram(genuine: Floats, impostor: Floats, threshold: float | None) -> Markup:
    """Draw the scores of pairs of one person and of different people."""
    finite = [scores[np.isfinite(scores)] for scores in (impostor, genuine)]
    every = np.concatenate(finite)
    if len(np.unique(every)) < 2:
        return NOTHING
    low, high = float(every.min()), float(every.max())
    edges = np.linspace(low, high, 61)
    plot = Plot(
        "report-scores", "Scores of both kinds of pairs",
        f"Histograms of {len(impostor):,} pairs of different people and {len(genuine):,} pairs of "
        f"one person between {low:.2f} and {high:.2f}.",
    )  # fmt: skip
    shares = [np.histogram(scores, edges)[0] / max(len(scores), 1) for scores in finite]
    x, y = plot.x(low, high), plot.y(0, float(max(s.max() for s in shares)) * 1.15)
    plot.axes(x, y, round_ticks(low, high), [], "Score", "Share of pairs")
    for kind, share in zip(("impostor", "genuine"), shares, strict=True):
        xs, ys = np.repeat(x(edges), 2)[1:-1], np.repeat(y(share), 2)
        plot.area(kind, xs, ys, y.start)
        plot.line(kind, xs, ys)
    if threshold is not None and low <= threshold <= high:
        plot.upright("threshold", float(x(threshold)), y)
    return plot.markup()


@dataclass(slots=True)
class _Det:
    plot: Plot
    scales: tuple[Scale, Scale]

    def draw(self, fmr: Floats, fnmr: Floats) -> None:
        x, y = self.scales
        self.plot.line("accent", x(fmr), y(fnmr))

    def interval(self, fmr: float, estimate: Estimate) -> None:
        x, y = self.scales
        self.plot.whisker("accent", float(x(fmr)), float(y(estimate.low)), float(y(estimate.high)))
        self.plot.dot("accent", float(x(fmr)), float(y(estimate.value)), 4)


def _det_plot(name: str, what: str, lowest: float, fmr: Floats, fnmr: Floats) -> _Det:
    ends = [wording.percent(float(fnmr[i])) for i in (fmr.argmin(), fmr.argmax())]
    plot = Plot(
        name,
        "DET: false non-matches over false matches",
        f"On {what}: the false non-match rate is {ends[0]} at the lowest false match rate and "
        f"{ends[1]} at the highest.",
    )  # fmt: skip
    x = plot.x(lowest * 0.8, 0.6, probit)
    bottom = max(float(fnmr.min()) * 0.6, 1e-4)
    y = plot.y(bottom, min(0.9, max(float(fnmr.max()) * 1.3, 10 * bottom)), probit)
    ticks = [[(r, _rate_text(r)) for r in _DET_RATES if s.low <= r <= s.high] for s in (x, y)]
    xticks, yticks = _apart(x, ticks[0], 62), _apart(y, ticks[1], 22)
    plot.axes(x, y, xticks, yticks, "False match rate", "False non-match rate")
    return _Det(plot, (x, y))


def _span(t: Floats, similarity: float | None, threshold: float) -> tuple[float, float]:
    values = [*t, threshold] + ([] if similarity is None else [similarity])
    low, high = min(values), max(values)
    pad = 0.04 * (high - low)
    return max(-1.0, low - pad), min(1.0, high + pad)


def _marks(plot: Plot, x: Scale, y: Scale, similarity: float | None, threshold: float) -> None:
    """Draw the threshold and this pair, with their texts on the outer sides where they fit."""
    marks = [("threshold", threshold, f"threshold {threshold:.3f}")]
    if similarity is not None:
        marks.append(("score", similarity, f"this pair {similarity:.3f}"))
    for kind, value, _ in marks:
        plot.upright(kind, float(x(value)), y)
    lowest = min(value for _, value, _ in marks)
    for row, (kind, value, text) in enumerate(marks):
        at = float(x(value))
        outer = len(marks) > 1 and value == lowest
        left = at > x.end - _TEXT or (outer and at > x.start + _TEXT)
        plot.beside(kind, at, y, text, row, left=left)
    if similarity is not None:
        plot.dot("score", float(x(similarity)), y.start, 6)


def _apart(scale: Scale, ticks: list[tuple[float, str]], least: float) -> list[tuple[float, str]]:
    """Return the ticks that leave their texts room, the last one kept."""
    kept: list[tuple[float, str]] = []
    for value, text in reversed(ticks):
        if not kept or abs(float(scale(value)) - float(scale(kept[-1][0]))) >= least:
            kept.append((value, text))
    return kept[::-1]


def _rate_text(rate: float) -> str:
    return f"{100 * rate:.4f}".rstrip("0").rstrip(".") + " %"
