"""The verbs on pictures, as plain functions: what the command line and the service call.

Each takes ``analyzer=`` so that many calls share loaded networks; without it one is built for the
call. Verbs on galleries are in :mod:`vultus.people`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vultus.analysis import Analysis, Analyzer, Subject, name_of
from vultus.errors import ConfigError, SpaceMismatchError
from vultus.faces import Face
from vultus.predictors import EMBEDDING, choose
from vultus.recognition.calibration import Calibration, find_calibration, read_calibration

#: False match rate at which ``verify`` decides unless told otherwise.
DEFAULT_FMR = 1e-3


@dataclass(frozen=True, slots=True)
class Threshold:
    """A decision threshold and what is known of it.

    Parameters
    ----------
    value
        Cosine similarity at and above which two faces are taken for the same person.
    fmr, fnmr
        False match and false non-match rate measured at it, or None where nothing was measured.
    calibrated_on
        The data of that measurement, or None.
    """

    value: float
    fmr: float | None = None
    fnmr: float | None = None
    calibrated_on: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name."""
        return {
            "value": self.value,
            "fmr": self.fmr,
            "fnmr": self.fnmr,
            "calibrated_on": self.calibrated_on,
        }


@dataclass(frozen=True, slots=True)
class Verification:
    """Whether two pictures show the same person.

    ``similarity`` is the raw cosine in [-1, 1]; ``same`` is ``similarity >= threshold.value``.
    """

    same: bool
    similarity: float
    threshold: Threshold
    sources: tuple[str, str]
    faces: tuple[Face, Face]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON, without the templates."""
        return {
            "same": self.same,
            "similarity": self.similarity,
            "threshold": self.threshold.to_dict(),
            "sources": list(self.sources),
            "faces": [face.to_dict(embedding=False) for face in self.faces],
        }


def calibration_of(analyzer: Analyzer, file: Path | None = None) -> Calibration | None:
    """Return the packaged calibration of an analyzer's detector and embedder, or None.

    Parameters
    ----------
    file
        Read this calibration instead.

    Raises
    ------
    ConfigError
        If the file cannot be read.
    SpaceMismatchError
        If it was measured with another network or alignment.
    """
    space = analyzer.embedder.space
    if file is None:
        return find_calibration(space, analyzer.detector.name)
    calibration = read_calibration(file)
    if calibration.space != space:
        raise SpaceMismatchError(
            f"{file} was measured for {calibration.space!r}, the embeddings here are {space!r}"
        )
    return calibration


def choose_threshold(
    calibration: Calibration | None, *, fmr: float = DEFAULT_FMR, threshold: float | None = None
) -> Threshold:
    """Return the threshold for a false match rate, or the given one with its measured rates.

    Raises
    ------
    ConfigError
        If neither a threshold nor a calibration is at hand, or the rate cannot be supported.
    """
    if threshold is not None and not -1 <= threshold <= 1:
        raise ConfigError(f"a cosine threshold lies between -1 and 1, got {threshold}")
    if calibration is None:
        if threshold is None:
            raise ConfigError(
                "this detector and embedder have no calibration: give a threshold, "
                "or measure one with 'vultus calibrate'"
            )
        return Threshold(threshold)
    value = calibration.threshold_at(fmr) if threshold is None else threshold
    return Threshold(value, calibration.fmr_at(value), calibration.fnmr_at(value), calibration.data)


def detect(sources: Iterable[Any], *, analyzer: Analyzer | None = None) -> Iterator[Analysis]:
    """Find faces in many pictures; results come in order, failures carry ``error``."""
    return (analyzer or Analyzer()).stream(sources, embed=False)


def analyze(
    sources: Iterable[Any],
    *,
    only: Iterable[str] | None = None,
    skip: Iterable[str] = (),
    keep_images: bool = False,
    analyzer: Analyzer | None = None,
) -> Iterator[Analysis]:
    """Find faces in many pictures and compute everything that is known of them.

    Parameters
    ----------
    only, skip
        Predictors to run, or not to run: names of :data:`vultus.predictors.NAMES`. What one needs
        of another is computed with it.

    Raises
    ------
    ConfigError
        If a name is unknown, or what is skipped is needed.
    """
    fields = choose(only, skip)
    return (analyzer or Analyzer()).stream(
        sources, embed=EMBEDDING in fields, fields=fields, keep_images=keep_images
    )


def embed(
    sources: Iterable[Any],
    *,
    subject: Subject | None = None,
    analyzer: Analyzer | None = None,
) -> Iterator[Analysis]:
    """Compute templates of every face, or with ``subject`` of the one each picture is about.

    A picture without the subject asked for yields an :class:`Analysis` with ``error``.
    """
    return (analyzer or Analyzer()).stream(sources, subject=subject)


def verify(
    a: Any,
    b: Any,
    *,
    fmr: float = DEFAULT_FMR,
    threshold: float | None = None,
    subject: Subject = "largest",
    analyzer: Analyzer | None = None,
    calibration: Calibration | None = None,
) -> Verification:
    """Decide whether two pictures show the same person.

    Parameters
    ----------
    a, b
        Pictures: path, bytes, file, PIL image or array.
    fmr
        False match rate that the decision may have, as calibrated.
    threshold
        Cosine similarity to decide at instead.
    subject
        Which face is meant where a picture shows several.
    calibration
        Instead of the packaged one.

    Raises
    ------
    ImageError, NoFaceError
        If a picture cannot be read or shows no face.
    ConfigError
        If the false match rate cannot be supported, or nothing is calibrated.
    """
    analyzer = analyzer or Analyzer()
    limit = choose_threshold(calibration or calibration_of(analyzer), fmr=fmr, threshold=threshold)
    first, second = (analyzer.embed_subject(source, subject) for source in (a, b))
    similarity = first.embedding.similarity(second.embedding)
    return Verification(
        same=similarity >= limit.value,
        similarity=similarity,
        threshold=limit,
        sources=(name_of(a), name_of(b)),
        faces=(first, second),
    )
