"""A card for every weight file of the manifest, from what the manifest holds and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib import resources
from typing import Final

from vultus.audit.model_cards.evidence import NOT_EVALUATED, ReportedFigure
from vultus.audit.model_cards.making import make_card
from vultus.audit.model_cards.schema import Description, ModelCard, QuantitativeAnalyses
from vultus.audit.model_cards.texts import task_texts
from vultus.recognition.calibration import Calibration
from vultus.runtime import Preprocessing, Weight, manifest
from vultus.runtime.manifest import Figure
from vultus.settings import read_settings

COMMAND: Final = "vultus cards make --weights"

#: False match rates whose calibrated thresholds a card names.
_FMRS: Final = (1e-2, 1e-3, 1e-4)


def weight_card(weight: Weight, calibrations: Sequence[Calibration] = ()) -> ModelCard:
    """Return the card of a weight file.

    Figures of the manifest that have an interval and a number of items become results; the others
    are named among the caveats, since a number without its uncertainty is no result.

    Parameters
    ----------
    weight
        Entry of the manifest.
    calibrations
        Of the embedding spaces that the weight makes.
    """
    values = task_texts(weight.task)
    values["model_details"] = _details(weight)
    values["evaluation_data"] = {}
    values["training_data"] = {"description": weight.data}
    values["caveats_and_recommendations"]["caveats"] += _without_interval(weight.figures)
    if calibrations:
        points = [point for c in calibrations for point in _operating_points(c)]
        values["metrics"]["threshold_reason"] = " ".join(points)
    description = read_settings(Description, values, f"card of {weight.id}")
    card = make_card(description, None, command=COMMAND)
    reported = tuple(_reported(f) for f in weight.figures if f.interval and f.n)
    analyses = QuantitativeAnalyses(reported=reported or NOT_EVALUATED)
    return replace(card, quantitative_analyses=analyses)


def weight_cards() -> list[ModelCard]:
    """Return the card of every weight of the package."""
    known = _packaged_calibrations()
    return [
        weight_card(weight, [c for c in known if c.space.split("@")[0] == weight.id])
        for weight in manifest().values()
    ]


def _details(weight: Weight) -> dict[str, str]:
    details = {
        "name": weight.id,
        "id": weight.id,
        "developers": f"See {weight.homepage}",
        "version": _version(weight),
        "kind": f"Network of the room {weight.task}, run with ONNX Runtime",
        "features": _features(weight),
        "homepage": weight.homepage,
        "licence": weight.licence,
        "commercial": weight.commercial,
        "sha256": weight.sha256,
    }
    return {name: value for name, value in details.items() if value}


def _version(weight: Weight) -> str:
    requirement = getattr(weight.source, "requirement", None)
    origin = f"member of {requirement}, " if requirement else ""
    return f"{origin}{weight.bytes} bytes"


def _features(weight: Weight) -> str:
    crop = f"crops aligned to the template {weight.template}" if weight.template else "pictures"
    text = f"Takes {crop}"
    if weight.input is not None:
        text += f"; {_preprocessing(weight.input)}"
    if weight.convert:
        text += f"; read by the converter {weight.convert}"
    return text


def _preprocessing(given: Preprocessing) -> str:
    text = f"{given.order} {given.dtype} in {given.layout} order"
    if given.dtype == "uint8":
        return text
    return f"{text}, mean {list(given.mean)}, std {list(given.std)}"


def _reported(figure: Figure) -> ReportedFigure:
    low, high = figure.interval or (figure.value, figure.value)
    return ReportedFigure(
        metric=figure.metric,
        value=figure.value,
        low=low,
        high=high,
        n=figure.n or 0,
        on=figure.on,
        command=figure.command,
    )


def _without_interval(figures: Sequence[Figure]) -> list[str]:
    return [
        f"{f.metric} of {f.value:g} on {f.on} (`{f.command}`) is stated without interval or number "
        "of items and is therefore not among the results."
        for f in figures
        if not (f.interval and f.n)
    ]


def _operating_points(calibration: Calibration) -> Iterator[str]:
    yield (
        f"Calibrated on {calibration.data} ({calibration.n_people} people, "
        f"{calibration.n_faces} faces, detector {calibration.detector}) by "
        f"`{calibration.command}`, over all its groups together:"
    )
    points = []
    for fmr in _FMRS:
        if fmr >= calibration.smallest_fmr:
            threshold = calibration.threshold_at(fmr)
            fnmr = calibration.fnmr_at(threshold)
            points.append(f"cosine {threshold:.4f} for FMR {fmr:g} (FNMR {fnmr:.4f})")
    yield "; ".join(points) + "."


def _packaged_calibrations() -> list[Calibration]:
    folder = resources.files("vultus.recognition") / "calibrations"
    if not folder.is_dir():
        return []
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".json")), key=lambda f: f.name)
    return [Calibration.from_dict(json.loads(f.read_text(encoding="utf-8"))) for f in files]
