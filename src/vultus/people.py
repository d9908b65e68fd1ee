"""The verbs on people, as plain functions: enrol, identify, cluster."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vultus.analysis import Analysis, Analyzer, Subject
from vultus.errors import ConfigError
from vultus.faces import Face
from vultus.gallery import Enrolment, EnrolReport, Gallery, Match
from vultus.gallery.clustering import cluster as cluster_templates
from vultus.quality.gate import MIN_QUALITY, checked, refusal
from vultus.recognition.calibration import Calibration
from vultus.verbs import calibration_of

#: False positive identification rate at which ``identify`` decides unless told otherwise.
DEFAULT_FPIR = 0.01

#: False match rate at which faces are linked into people by ``cluster``.
CLUSTER_FMR = 1e-3


def people_of(paths: Sequence[Path]) -> list[tuple[Path, str]]:
    """Pair each picture with the name of the folder that it lies in, as in ``Alice/1.jpg``."""
    return [(path, path.resolve().parent.name) for path in paths]


@dataclass(frozen=True, slots=True)
class Enrolled:
    """What an enrolment did: the gallery's report, and the pictures left out with the reason."""

    report: EnrolReport
    skipped: tuple[tuple[str, str], ...]


def enroll(
    gallery: Gallery,
    pictures: Iterable[tuple[Path, str]],
    *,
    subject: Subject = "largest",
    min_quality: float | None = MIN_QUALITY,
    analyzer: Analyzer | None = None,
    progress: Callable[[Analysis], None] | None = None,
) -> Enrolled:
    """Enrol pictures of named people.

    Enrolling the same picture of the same person again changes nothing, so an interrupted
    enrolment is simply run again.

    Parameters
    ----------
    pictures
        Path and person's name.
    subject
        Which face is meant where a picture shows several.
    min_quality
        Faces of a lower overall quality are refused; None takes all.
    progress
        Called with each analysed picture.

    Returns
    -------
    Enrolled
        Counts, and the pictures that were skipped because they could not be read, show no face, or
        are not good enough; for these the reason says what to do.
    """
    least = checked(min_quality)
    analyzer = analyzer or Analyzer()
    skipped: list[tuple[str, str]] = []

    def enrolments() -> Iterator[Enrolment]:
        pairs = list(pictures)
        fields = () if least is None else ("quality",)
        stream = analyzer.stream((path for path, _ in pairs), fields=fields, subject=subject)
        for (path, person), found in zip(pairs, stream, strict=True):
            if progress:
                progress(found)
            if found.error is not None:
                skipped.append((found.source, found.error))
                continue
            face = found.faces[0]
            if least is not None and (why := refusal(face.quality, least)):
                skipped.append((found.source, why))
                continue
            yield Enrolment(
                person=person,
                template=face.embedding,
                source=str(path),
                source_digest=hashlib.sha256(path.read_bytes()).hexdigest(),
                box=tuple(face.box.tolist()),
                metadata={"score": face.score, "detector": analyzer.detector.name}
                | ({} if least is None else {"quality": face.quality["overall"]}),
            )

    report = gallery.enroll(enrolments())
    return Enrolled(report, tuple(skipped))


@dataclass(frozen=True, slots=True)
class SearchThreshold:
    """The threshold of an open-set search.

    Parameters
    ----------
    value
        Cosine similarity below which a face is unknown.
    fpir
        Expected rate at which someone who is not enrolled is taken for somebody, or None.
    enrolled
        Number of templates that the rate holds for.
    calibrated_on
        The data of the underlying measurement, or None.
    """

    value: float
    fpir: float | None
    enrolled: int
    calibrated_on: str | None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name."""
        return {
            "value": self.value,
            "fpir": self.fpir,
            "enrolled": self.enrolled,
            "calibrated_on": self.calibrated_on,
        }


def search_threshold(
    calibration: Calibration | None,
    enrolled: int,
    *,
    fpir: float = DEFAULT_FPIR,
    threshold: float | None = None,
) -> SearchThreshold:
    """Return the threshold for a false positive identification rate among enrolled templates.

    Raises
    ------
    ConfigError
        If nothing is calibrated and no threshold is given, or the data cannot support the rate.
    """
    if threshold is not None:
        rate = calibration.fpir_at(threshold, enrolled) if calibration else None
        return SearchThreshold(threshold, rate, enrolled, calibration.data if calibration else None)
    if calibration is None:
        raise ConfigError(
            "this detector and embedder have no calibration: give a threshold, "
            "or measure one with 'vultus calibrate'"
        )
    value = calibration.threshold_at_fpir(fpir, enrolled)
    return SearchThreshold(value, calibration.fpir_at(value, enrolled), enrolled, calibration.data)


@dataclass(frozen=True, slots=True)
class Identified:
    """Who a face is: ``person`` is None where nobody enrolled is similar enough.

    ``refused`` says why a face was not searched for; it is None where it was.
    """

    face: Face
    person: str | None
    similarity: float | None
    candidates: tuple[Match, ...]
    refused: str | None = None

    @property
    def decision(self) -> str:
        """``known``, ``unknown`` or ``refused``."""
        if self.refused is not None:
            return "refused"
        return "known" if self.person is not None else "unknown"

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON, without the template."""
        return {
            "decision": self.decision,
            "reason": self.refused,
            "person": self.person,
            "similarity": self.similarity,
            "candidates": [
                {"person": match.person, "similarity": match.similarity, "face_id": match.face_id}
                for match in self.candidates
            ],
            "face": self.face.to_dict(embedding=False),
        }


def identify(
    gallery: Gallery,
    sources: Iterable[Any],
    threshold: SearchThreshold,
    *,
    k: int = 3,
    min_quality: float | None = MIN_QUALITY,
    keep_images: bool = False,
    analyzer: Analyzer | None = None,
) -> Iterator[tuple[Analysis, list[Identified]]]:
    """Say who is in many pictures, every face; open set, so the answer may be unknown.

    Parameters
    ----------
    min_quality
        Faces of a lower overall quality are not searched for; None searches for all.

    Yields
    ------
    tuple of Analysis and list of Identified
        In the order of the sources; with an error there are no faces.
    """
    least = checked(min_quality)
    fields = () if least is None else ("quality",)
    analyzer = analyzer or Analyzer()
    for found in analyzer.stream(sources, fields=fields, keep_images=keep_images):
        refused = [None if least is None else refusal(f.quality, least) for f in found.faces]
        passed = [f for f, why in zip(found.faces, refused, strict=True) if why is None]
        vectors = [face.embedding for face in passed]
        answers = iter(gallery.identify(vectors, threshold=threshold.value, k=k) if vectors else ())
        rows = []
        for face, why in zip(found.faces, refused, strict=True):
            if why is not None:
                rows.append(Identified(face, None, None, (), why))
                continue
            a = next(answers)
            rows.append(Identified(face, a.person, a.similarity, tuple(a.candidates)))
        yield found, rows


@dataclass(frozen=True, slots=True)
class ClusteredFace:
    """One face of a collection: its picture, its index there, and the person it was put with."""

    source: str
    index: int
    face: Face
    person: int


@dataclass(frozen=True, slots=True)
class Clustering:
    """A collection of photographs grouped into people.

    Parameters
    ----------
    faces
        Every face; ``person`` counts from 0, the largest group first.
    threshold
        Cosine similarity at which faces were linked.
    skipped
        Pictures that could not be read, with the reason.
    """

    faces: tuple[ClusteredFace, ...]
    threshold: float
    skipped: tuple[tuple[str, str], ...]

    def people(self) -> list[list[ClusteredFace]]:
        """Return the faces of each person, the person with most faces first."""
        groups: dict[int, list[ClusteredFace]] = {}
        for face in self.faces:
            groups.setdefault(face.person, []).append(face)
        return [groups[person] for person in sorted(groups)]


def cluster(
    sources: Iterable[Any],
    *,
    threshold: float | None = None,
    must_link: Sequence[tuple[str, str]] = (),
    cannot_link: Sequence[tuple[str, str]] = (),
    analyzer: Analyzer | None = None,
    calibration: Calibration | None = None,
    progress: Callable[[Analysis], None] | None = None,
) -> Clustering:
    """Group the faces of a photo collection into people.

    Two faces of one picture are never put together unless ``must_link`` says so.

    Parameters
    ----------
    threshold
        Cosine similarity at which faces are linked; the calibration's for an FMR of
        ``CLUSTER_FMR`` if not given.
    calibration
        Instead of the packaged one.
    must_link, cannot_link
        Pairs of faces as ``SOURCE#INDEX`` that belong, or do not belong, to one person.

    Raises
    ------
    ConfigError
        If a constraint names an unknown face, constraints contradict one another, or there is
        neither a threshold nor a calibration.
    """
    analyzer = analyzer or Analyzer()
    if threshold is None:
        calibration = calibration or calibration_of(analyzer)
        if calibration is None:
            raise ConfigError("this detector and embedder have no calibration: give a threshold")
        threshold = calibration.threshold_at(CLUSTER_FMR)
    found: list[tuple[str, int, Face]] = []
    skipped: list[tuple[str, str]] = []
    for result in analyzer.stream(sources):
        if progress:
            progress(result)
        if result.error is not None:
            skipped.append((result.source, result.error))
        found += [(result.source, i, face) for i, face in enumerate(result.faces)]
    together = _indices(found, must_link)
    apart = _indices(found, cannot_link) + _same_picture(found, together)
    labels = cluster_templates(
        np.array([face.embedding.vector for _, _, face in found], np.float32).reshape(
            len(found), analyzer.embedder.dim
        ),
        threshold=threshold,
        must_link=together,
        cannot_link=apart,
    )
    people = _by_size(labels)
    faces = [
        ClusteredFace(source, index, face, int(person))
        for (source, index, face), person in zip(found, people, strict=True)
    ]
    return Clustering(tuple(faces), threshold, tuple(skipped))


def _indices(
    found: list[tuple[str, int, Face]], links: Sequence[tuple[str, str]]
) -> list[tuple[int, int]]:
    position = {f"{source}#{index}": i for i, (source, index, _) in enumerate(found)}
    pairs = []
    for link in links:
        for name in link:
            if name not in position:
                raise ConfigError(
                    f"constraint names face {name!r}, which is not in the collection; "
                    "faces are written PICTURE#INDEX, counted from 0"
                )
        pairs.append((position[link[0]], position[link[1]]))
    return pairs


def _same_picture(
    found: list[tuple[str, int, Face]], together: list[tuple[int, int]]
) -> list[tuple[int, int]]:
    """Pair the faces that share a picture, except where ``together`` joins them."""
    root = list(range(len(found)))

    def find(i: int) -> int:
        while root[i] != i:
            root[i] = root[root[i]]
            i = root[i]
        return i

    for a, b in together:
        root[find(a)] = find(b)
    groups: dict[str, list[int]] = {}
    for i, (source, _, _) in enumerate(found):
        groups.setdefault(source, []).append(i)
    return [
        (a, b) for group in groups.values() for a, b in combinations(group, 2) if find(a) != find(b)
    ]


def _by_size(labels: NDArray[np.integer[Any]]) -> NDArray[np.intp]:
    """Renumber labels so that the largest group is 0; ties keep the order of appearance."""
    _, first, inverse, counts = np.unique(
        labels, return_index=True, return_inverse=True, return_counts=True
    )
    order = np.lexsort((first, -counts))
    rank = np.empty(len(order), np.intp)
    rank[order] = np.arange(len(order))
    return rank[inverse]
