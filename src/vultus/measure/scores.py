"""Scores in files: the contract between systems and metrics.

A CSV file (UTF-8, RFC 4180 quoting, gzip where the name ends in ``.gz``) with one header line and
exactly one line per comparison, search candidate or presentation, in these columns:

===================  ==============================================================================
column               meaning
===================  ==============================================================================
protocol             name of the protocol, such as ``lfw-view1``
set                  ``dev`` (thresholds are chosen here) or ``eval`` (figures are reported here)
kind                 ``verification``, ``identification``, ``pad`` or ``forgery``
system               what made the score: system name, or embedding space
reference_id         the enrolled picture or template; empty where there is none
probe_id             the picture that is compared or judged
reference_subject    who the reference shows; empty where there is none
probe_subject        who the probe shows
score                higher = more similar, or more likely bona fide; empty where no score could be
                     made (failure to enrol or acquire), which is read as -inf
label                ``genuine`` or ``impostor``; for ``pad`` and ``forgery`` ``bona-fide`` or the
                     name of the attack species
===================  ==============================================================================

Numbers are written with the fewest digits that read back as the same float64.
"""

from __future__ import annotations

import csv
import gzip
import io
import math
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vultus.errors import MeasureError
from vultus.measure.comparisons import Comparisons

SETS = ("dev", "eval")
KINDS = ("verification", "identification", "pad", "forgery")
BONA_FIDE = "bona-fide"


class Score(NamedTuple):
    """One line of a score file; see the module's docstring for the fields."""

    protocol: str
    set: str
    kind: str
    system: str
    reference_id: str
    probe_id: str
    reference_subject: str
    probe_subject: str
    score: float
    label: str


def write_scores(path: Path | str, scores: Iterable[Score]) -> int:
    """Write a score file, whole or not at all, and return the number of lines.

    Parameters
    ----------
    path
        Replaced if it exists; compressed if it ends in ``.gz``.
    scores
        Any iterable; they are written as they come, so a file may be larger than memory.

    Raises
    ------
    MeasureError
        Naming the line, if a score is NaN or inf, or a set, kind or label is not of the contract.
    """
    count = 0
    with _replacing(Path(path)) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(Score._fields)
        for count, score in enumerate(scores, 1):
            problem = _problem(score)
            if problem:
                raise MeasureError(f"score {count} for {path}: {problem}")
            number = "" if score.score == -math.inf else repr(float(score.score))
            writer.writerow(score._replace(score=number))  # type: ignore[arg-type]
    return count


def read_scores(path: Path | str) -> Iterator[Score]:
    """Yield the lines of a score file one by one.

    Raises
    ------
    MeasureError
        Naming the file and line, if it is not a score file or a line is damaged.
    """
    path = Path(path)
    try:
        with _opened(path) as file:
            reader = csv.reader(file, strict=True)
            header = next(reader, [])
            if tuple(header) != Score._fields:
                raise MeasureError(
                    f"{path}: expected the columns {','.join(Score._fields)}, "
                    f"got {','.join(header) or 'an empty file'}"
                )
            for row in reader:
                yield _parsed(row, f"{path}, line {reader.line_num}")
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise MeasureError(f"{path}: cannot be read as a score file: {error}") from error


def comparisons_of(scores: Iterable[Score], *, which: str) -> Comparisons:
    """Return the verification scores of one set, ``dev`` or ``eval``, with their people.

    Raises
    ------
    MeasureError
        If the set holds several systems or protocols, lacks genuine or impostor scores, or labels
        contradict the subjects.
    """
    kept = [s for s in scores if s.set == _known_set(which) and s.kind == "verification"]
    _one_source(kept, f"verification scores of the {which} set")
    values = np.array([s.score for s in kept], np.float64)
    same = np.array([s.label == "genuine" for s in kept], np.bool_)
    people = np.array([(s.reference_subject, s.probe_subject) for s in kept])
    return Comparisons.from_pairs(values, same, people if (people != "").all() else None)


def presentations_of(
    scores: Iterable[Score],
    *,
    which: str,
    kind: str = "pad",
) -> tuple[NDArray[np.float64], NDArray[np.str_], NDArray[np.str_]]:
    """Return scores (N,), labels (N,) and subjects (N,) of the presentations of a set.

    Labels are ``bona-fide`` or the attack species, as :func:`vultus.measure.pad.pad_rates` takes
    them.
    """
    kept = [s for s in scores if s.set == _known_set(which) and s.kind == kind]
    _one_source(kept, f"{kind} scores of the {which} set")
    return (
        np.array([s.score for s in kept], np.float64),
        np.array([s.label for s in kept]),
        np.array([s.probe_subject for s in kept]),
    )


def _parsed(row: list[str], where: str) -> Score:
    if len(row) != len(Score._fields):
        raise MeasureError(f"{where}: expected {len(Score._fields)} fields, got {len(row)}")
    try:
        number = float(row[8]) if row[8] else -math.inf
    except ValueError:
        raise MeasureError(f"{where}: {row[8]!r} is not a score") from None
    score = Score._make([*row[:8], number, row[9]])
    problem = _problem(score)
    if problem:
        raise MeasureError(f"{where}: {problem}")
    return score


def _problem(score: Score) -> str | None:
    if math.isnan(score.score) or score.score == math.inf:
        return f"the score is {score.score}"
    if score.set not in SETS:
        return f"set must be one of {SETS}, got {score.set!r}"
    if score.kind not in KINDS:
        return f"kind must be one of {KINDS}, got {score.kind!r}"
    compared = score.kind in ("verification", "identification")
    if compared and score.label not in ("genuine", "impostor"):
        return f"label must be 'genuine' or 'impostor', got {score.label!r}"
    if not score.label:
        return "label is empty"
    if any(end in field for field in score if isinstance(field, str) for end in "\r\n"):
        return "a field holds a line break"
    return None


def _known_set(name: str) -> str:
    if name not in SETS:
        raise MeasureError(f"set must be one of {SETS}, got {name!r}")
    return name


def _one_source(scores: list[Score], what: str) -> None:
    sources = sorted({(s.protocol, s.system) for s in scores})
    if not sources:
        raise MeasureError(f"there are no {what}")
    if len(sources) > 1:
        raise MeasureError(f"{what} mix protocols or systems, filter them first: {sources}")


@contextmanager
def _replacing(path: Path) -> Iterator[IO[str]]:
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with partial.open("xb") as raw:
            if path.suffix == ".gz":
                # No name and time inside: the same scores make the same file.
                with (
                    gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as packed,
                    io.TextIOWrapper(packed, encoding="utf-8", newline="") as text,
                ):
                    yield text
            else:
                with io.TextIOWrapper(raw, encoding="utf-8", newline="") as text:
                    yield text
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _opened(path: Path) -> IO[str]:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8", newline="")
    return path.open(encoding="utf-8", newline="")
