"""From probes to matches: checking the probes, searching, and deciding who is who."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from vultus.errors import GalleryError, SpaceMismatchError
from vultus.faces import Embedding
from vultus.gallery.records import Identification, Match
from vultus.gallery.snapshot import Snapshot

FloatArray = NDArray[np.float32]
#: Embeddings, or templates (M, D) that the caller knows to be of the right space.
Queries = Sequence[Embedding] | NDArray[np.floating]


def check_space(template: Embedding, space: str) -> None:
    """Raise :class:`SpaceMismatchError` unless an embedding is of a gallery's space."""
    if template.space != space:
        raise SpaceMismatchError(
            f"the gallery holds templates of {space!r}, this one is of {template.space!r}; "
            "compute it with the gallery's model"
        )


def to_array(queries: Queries, space: str, dim: int) -> FloatArray:
    """Return the queries as unit vectors, float32 (M, D).

    Raises
    ------
    SpaceMismatchError
        If an embedding is of another space.
    GalleryError
        If they are not finite, non-zero vectors of length D.
    """
    if isinstance(queries, np.ndarray):
        array = queries.astype(np.float32)
    else:
        for query in queries:
            check_space(query, space)
        shapes = {query.vector.shape for query in queries} - {(dim,)}
        if shapes:
            raise GalleryError(f"queries must have length {dim}, got shape {shapes.pop()}")
        array = np.array([query.vector for query in queries], np.float32).reshape(-1, dim)
    if array.ndim != 2 or array.shape[1] != dim:
        raise GalleryError(f"queries must have shape (M, {dim}), got {array.shape}")
    length = np.linalg.norm(array, axis=1, keepdims=True)
    if not np.isfinite(length).all() or not (length > 0).all():
        raise GalleryError("queries must be finite non-zero vectors")
    unit: FloatArray = array / length
    return unit


def search(
    snapshot: Snapshot, queries: FloatArray, k: int, persons: Iterable[str] | None
) -> list[list[Match]]:
    """Return the k nearest faces of each protected query, best first.

    Parameters
    ----------
    queries
        float32 (M, D) of unit length, rotated as the snapshot is.
    persons
        Search only among these people; among everyone if not given.

    Raises
    ------
    GalleryError
        If k is below 1, or the snapshot has no templates.
    """
    if k < 1:
        raise GalleryError(f"k must be at least 1, got {k}")
    if snapshot.index is None:
        raise GalleryError("the snapshot was loaded without templates")
    mask = None if persons is None else snapshot.of_people(persons)
    found = snapshot.index.search(queries, min(k, max(len(snapshot), 1)), mask=mask)
    return [
        [
            Match(
                snapshot.ids[row].as_py(),
                snapshot.person(row),
                similarity,
                snapshot.sources[row].as_py(),
            )
            for row, similarity in zip(numbers.tolist(), similarities.tolist(), strict=True)
        ]
        for numbers, similarities in found
    ]


def identify(
    snapshot: Snapshot,
    queries: FloatArray,
    threshold: float,
    k: int,
    persons: Iterable[str] | None,
) -> list[Identification]:
    """Decide who each protected query is; candidates are the k nearest people.

    Parameters
    ----------
    queries, persons
        As in :func:`search`.
    threshold
        Raw cosine that the best candidate must reach.

    Raises
    ------
    GalleryError
        If k is below 1, the threshold is no number, or the snapshot has no templates.
    """
    if k < 1:
        raise GalleryError(f"k must be at least 1, got {k}")
    if not np.isfinite(threshold):
        raise GalleryError(f"the threshold must be a number, got {threshold}")
    if snapshot.index is None:
        raise GalleryError("the snapshot was loaded without templates")
    allowed = None if persons is None else list(persons)
    answers: dict[int, tuple[Match, ...]] = {}
    waiting, faces = list(range(len(queries))), max(4 * k, 16)
    while waiting:
        # Someone with many faces can hide the others: ask for more until k people showed up.
        for query, matches in zip(
            waiting, search(snapshot, queries[waiting], faces, allowed), strict=True
        ):
            best: dict[str, Match] = {}
            for match in matches:
                best.setdefault(match.person, match)
            if len(best) >= k or len(matches) < faces:
                answers[query] = tuple(best.values())[:k]
        waiting = [query for query in waiting if query not in answers]
        faces *= 4
    return [_decide(answers[query], threshold) for query in range(len(queries))]


def _decide(candidates: tuple[Match, ...], threshold: float) -> Identification:
    similarity = candidates[0].similarity if candidates else -1.0
    known = bool(candidates) and similarity >= threshold
    return Identification(
        candidates[0].person if known else None, similarity, float(threshold), candidates
    )
