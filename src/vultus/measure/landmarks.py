"""Landmark accuracy: NME, area under the cumulative error curve, failure rate."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import ArrayLike

from vultus.errors import MeasureError
from vultus.measure.arrays import Float, finite
from vultus.measure.bootstrap import Resampling, bootstrap_ratio
from vultus.measure.intervals import Estimate, not_estimable, rate

Normaliser = Literal["inter-ocular", "inter-pupil", "box-diagonal", "box-size"]

#: Points of the image-left and of the image-right eye, by number of points.
_EYES = {68: (slice(36, 42), slice(42, 48)), 5: (slice(0, 1), slice(1, 2))}
_OUTER_CORNERS = {68: (36, 45)}


def normalisers(truth: ArrayLike, kind: Normaliser) -> Float:
    """Return the length in pixels that errors are divided by, float64 (N,).

    Parameters
    ----------
    truth
        (N, K, 2) true points: 68 in the iBUG order, or 5 keypoints; boxes take any K.
    kind
        ``inter-ocular``: distance of the outer eye corners (300-W; 68 points only);
        ``inter-pupil``: distance of the eye centres; ``box-diagonal`` of the true points' box;
        ``box-size``: root of its area (Bulat and Tzimiropoulos, 2017), for profiles, where the
        eyes' distance vanishes.

    Raises
    ------
    MeasureError
        If the points do not allow that kind, or a length is zero.
    """
    points = _points(truth, "truth")
    if kind in ("box-diagonal", "box-size"):
        sides = np.ptp(points, axis=1)
        lengths = np.hypot(*sides.T) if kind == "box-diagonal" else np.sqrt(sides.prod(1))
    elif kind == "inter-ocular" and points.shape[1] in _OUTER_CORNERS:
        left, right = _OUTER_CORNERS[points.shape[1]]
        lengths = np.linalg.norm(points[:, left] - points[:, right], axis=1)
    elif kind == "inter-pupil" and points.shape[1] in _EYES:
        eyes = [points[:, eye].mean(1) for eye in _EYES[points.shape[1]]]
        lengths = np.linalg.norm(eyes[0] - eyes[1], axis=1)
    else:
        raise MeasureError(f"no {kind!r} distance is known for {points.shape[1]} points")
    if not lengths.all():
        raise MeasureError(f"the {kind} distance of face {int(np.argmin(lengths))} is zero")
    return np.asarray(lengths, np.float64)


def nme(
    predicted: ArrayLike,
    truth: ArrayLike,
    normaliser: Normaliser | ArrayLike = "inter-ocular",
    *,
    visible: ArrayLike | None = None,
) -> Float:
    """Return the normalised mean error of each face, float64 (N,), as a fraction (not percent).

    The mean distance of predicted and true points over a length of the true face.

    Parameters
    ----------
    predicted, truth
        (N, K, 2) pixels.
    normaliser
        A kind of :func:`normalisers`, or (N,) lengths in pixels, such as of annotated boxes.
    visible
        bool (N, K) points that count; all if not given.

    Raises
    ------
    MeasureError
        If shapes differ, a length is not positive, or a face has no visible point.
    """
    points, expected = _points(predicted, "predicted"), _points(truth, "truth")
    if points.shape != expected.shape:
        raise MeasureError(f"predicted {points.shape} and truth {expected.shape} do not match")
    if isinstance(normaliser, str):
        lengths = normalisers(expected, cast(Normaliser, normaliser))
    else:
        lengths = finite(normaliser, "normaliser")
        if lengths.shape != points.shape[:1] or (lengths <= 0).any():
            raise MeasureError(f"normaliser must be ({len(points)},) positive lengths")
    distances = np.linalg.norm(points - expected, axis=2)
    if visible is None:
        return np.asarray(distances.mean(1) / lengths, np.float64)
    shown = np.asarray(visible, np.bool_)
    if shown.shape != distances.shape or not shown.any(1).all():
        raise MeasureError(f"visible must be {distances.shape} with a point in every face")
    return np.asarray((distances * shown).sum(1) / shown.sum(1) / lengths, np.float64)


def area_under_curve(errors: ArrayLike, limit: float, *, steps: int | None = None) -> Float:
    """Return each face's part in the AUC, float64 (N,) in [0, 1]; their mean is the AUC.

    The AUC is the area under the cumulative error distribution from 0 to ``limit``, over
    ``limit``. A face of error e adds 1 - e / limit, or 0 beyond the limit, exactly.

    Parameters
    ----------
    errors
        NME of each face; inf where no landmarks were found.
    limit
        Largest error that counts, such as 0.07 (AUC@7 %).
    steps
        Take the mean of the curve at that many thresholds 0, limit / steps, ... instead, as
        published for 2D-FAN with 70.
    """
    values = _errors(errors)
    if not limit > 0:
        raise MeasureError(f"limit must be positive, got {limit}")
    if steps is None:
        return np.maximum(1 - values / limit, 0.0)
    thresholds = limit * np.arange(steps) / steps
    return np.asarray(1 - np.searchsorted(thresholds, values, side="left") / steps, np.float64)


@dataclass(frozen=True, slots=True)
class LandmarkScores:
    """Figures of a landmark test set.

    Parameters
    ----------
    nme
        Mean over the faces that landmarks were found in.
    auc
        Area under the cumulative error curve up to ``limit``, missed faces included.
    failure_rate
        Share of faces with an error above ``limit``, or missed.
    limit
        The error that both depend on.
    """

    nme: Estimate
    auc: Estimate
    failure_rate: Estimate
    limit: float

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return {
            "nme": self.nme.to_dict(),
            "auc": self.auc.to_dict(),
            "failure_rate": self.failure_rate.to_dict(),
            "limit": self.limit,
        }


def landmark_scores(
    errors: ArrayLike,
    *,
    limit: float = 0.08,
    steps: int | None = None,
    people: ArrayLike | None = None,
    resampling: Resampling = Resampling(),
) -> LandmarkScores:
    """Summarise the NME of many faces.

    Parameters
    ----------
    errors
        (N,) from :func:`nme`; inf where no landmarks were found.
    limit, steps
        As in :func:`area_under_curve`.
    people
        (N,) who each face shows, for intervals over people.
    resampling
        How the bootstrap is run.
    """
    values = _errors(errors)
    found = np.isfinite(values)
    who = None if people is None else np.asarray(people)
    parts = area_under_curve(values, limit, steps=steps)
    if found.any():
        kept = None if who is None else who[found]
        mean = bootstrap_ratio(values[found], None, kept, resampling)
        if not found.all():
            mean = replace(mean, note=f"{int((~found).sum())} faces without landmarks left out")
    else:
        why = "no landmarks were found in any face"
        mean = not_estimable(0, why, confidence=resampling.confidence)
    return LandmarkScores(
        mean,
        bootstrap_ratio(parts, None, who, resampling),
        rate(values > limit, who, confidence=resampling.confidence),
        limit,
    )


def _points(values: ArrayLike, name: str) -> Float:
    array = finite(values, name)
    if array.ndim != 3 or array.shape[2] != 2 or not array.size:
        raise MeasureError(f"{name} points must be (N, K, 2), got shape {array.shape}")
    return array


def _errors(values: ArrayLike) -> Float:
    array = np.asarray(values, np.float64)
    if array.ndim != 1 or not array.size or np.isnan(array).any() or (array < 0).any():
        raise MeasureError(
            f"errors must be (N,) and not negative, inf where a face was missed; got {array.shape}"
        )
    return array
