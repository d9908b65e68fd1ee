"""Pages on what was measured: calibration, stored reports."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request, Response
from markupsafe import Markup

from vultus.errors import MeasureError
from vultus.measure.comparisons import Comparisons
from vultus.measure.curves import roc
from vultus.measure.intervals import Estimate
from vultus.measure.scores import comparisons_of, read_scores
from vultus.measure.verification import tar_at_far
from vultus.service.errors import ApiError
from vultus.service.pages import plots
from vultus.service.pages.access import ReaderHere
from vultus.service.pages.rendering import page

router = APIRouter(include_in_schema=False)

REPORT, SCORES = "report.json", "scores.csv.gz"
_FMRS = (0.1, 0.01, 1e-3, 1e-4, 1e-5, 1e-6)
_FARS = (0.1, 0.01, 1e-3, 1e-4)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
#: Beyond this, a score file is not read for a page.
_MOST_BYTES = 32 * 2**20


@dataclass(frozen=True, slots=True)
class Stored:
    """A report of ``vultus evaluate --out``."""

    name: str
    protocol: str
    system: dict[str, Any]
    figures: dict[str, dict[str, Any]]
    facts: dict[str, Any]
    scores: bool


@router.get("/evaluation")
async def overview(request: Request, visitor: ReaderHere) -> Response:
    """Show the calibration in use and the stored reports."""
    service = visitor.service
    calibration = service.calibration
    points, drawn = [], []
    if calibration:
        points = [
            (rate, plots.operating_point(calibration, rate))
            for rate in _FMRS
            if rate >= calibration.smallest_fmr
        ]
        usual = calibration.threshold_at(max(1e-3, calibration.smallest_fmr))
        drawn = [
            plots.densities(calibration, None, usual),
            plots.error_rates(calibration, None, usual),
            plots.det_of_calibration(calibration),
        ]
    stored = await service.in_thread(reports, service.settings.evaluations)
    return page(
        request,
        visitor,
        "evaluation.html",
        here="evaluation",
        calibration=calibration,
        points=points,
        plots=drawn,
        reports=stored,
        folder=service.settings.evaluations is not None,
    )


@router.get("/evaluation/{name}")
async def report(request: Request, visitor: ReaderHere, name: str) -> Response:
    """Show one stored report with its curves."""
    folder = visitor.service.settings.evaluations
    found = read_report(folder / name) if folder and _NAME.fullmatch(name) else None
    if folder is None or found is None:
        raise ApiError(404, "not_found", "there is no report of this name")
    drawn = await visitor.service.in_thread(_curves, folder / name, found)
    return page(request, visitor, "report.html", here="evaluation", report=found, **drawn)


def reports(folder: Path | None) -> list[Stored]:
    """Return the reports of a folder, one folder each, by name; unreadable ones are left out."""
    if folder is None or not folder.is_dir():
        return []
    entries = sorted(entry for entry in folder.iterdir() if _NAME.fullmatch(entry.name))
    return [found for found in map(read_report, entries) if found is not None]


def read_report(folder: Path) -> Stored | None:
    """Return a report, or None where the folder holds none that can be read."""
    try:
        data = json.loads((folder / REPORT).read_text(encoding="utf-8"))
        return Stored(
            folder.name,
            str(data["protocol"]),
            dict(data["system"]),
            {str(name): dict(value) for name, value in data["figures"].items()},
            dict(data["facts"]),
            (folder / SCORES).is_file(),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _curves(folder: Path, found: Stored) -> dict[str, Any]:
    """Return the plots of a report's scores, or why there are none."""
    nothing: dict[str, Any] = {"plots": [], "why": ""}
    file = folder / SCORES
    if not found.scores:
        return nothing | {"why": "No scores are stored with this report."}
    if file.stat().st_size > _MOST_BYTES:
        return nothing | {"why": "The stored scores are too many to draw here."}
    try:
        comparisons = comparisons_of(read_scores(file), which="eval")
    except MeasureError:
        return nothing | {"why": "The stored scores hold no pairs of one and of different people."}
    return {"plots": _drawn(comparisons, found), "why": ""}


def _drawn(comparisons: Comparisons, found: Stored) -> list[Markup]:
    curve = roc(comparisons)
    points = [(far, tar_at_far(comparisons, far).tar) for far in _FARS]
    good = [(far, tar) for far, tar in points if tar.estimable]
    misses = [(far, _complement(tar)) for far, tar in good]
    threshold = found.facts.get("threshold")
    number = threshold if isinstance(threshold, float) and math.isfinite(threshold) else None
    return [
        plots.roc_of_scores(curve, good),
        plots.det_of_scores(curve, misses),
        plots.score_histogram(comparisons.genuine, comparisons.impostor, number),
    ]


def _complement(tar: Estimate) -> Estimate:
    return Estimate(
        1 - tar.value, 1 - tar.high, 1 - tar.low, tar.n, tar.confidence, tar.method, tar.note
    )
