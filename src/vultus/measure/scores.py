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
import sys
from array import array
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from vultus.errors import MeasureError
from vultus.measure.comparisons import Comparisons
from vultus.measure.pad import Presentations

SETS = ("dev", "eval")
KINDS = ("verification", "identification", "pad", "forgery")


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
            writer.writerow((*score[:8], number, score.label))
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

    People are left out where a subject is not named.

    Raises
    ------
    MeasureError
        If the set holds several systems or protocols, lacks genuine or impostor scores, or labels
        contradict the subjects.
    """
    values, same, people = array("d"), [], []
    for score in _of_set(scores, which, "verification"):
        values.append(score.score)
        same.append(score.label == "genuine")
        people.append((score.reference_subject, score.probe_subject))
    named = all(first and second for first, second in people)
    return Comparisons.from_pairs(np.asarray(values), same, np.array(people) if named else None)


def presentations_of(scores: Iterable[Score], *, which: str, kind: str = "pad") -> Presentations:
    """Return the presentations of one set, ``dev`` or ``eval``, with their subjects.

    Subjects are left out where one is not named.

    Raises
    ------
    MeasureError
        If the set holds several systems or protocols, or lacks bona fide presentations or attacks.
    """
    values, labels, subjects = array("d"), [], []
    for score in _of_set(scores, which, kind):
        values.append(score.score)
        labels.append(score.label)
        subjects.append(score.probe_subject)
    named = np.array(subjects) if all(subjects) else None
    return Presentations(np.asarray(values), np.array(labels), named)


def _of_set(scores: Iterable[Score], which: str, kind: str) -> Iterator[Score]:
    if which not in SETS:
        raise MeasureError(f"set must be one of {SETS}, got {which!r}")
    source: tuple[str, str] | None = None
    for score in scores:
        if score.set != which or score.kind != kind:
            continue
        found = score.protocol, score.system
        if source not in (None, found):
            raise MeasureError(
                f"{kind} scores of the {which} set mix protocols or systems, filter them first: "
                f"{source} and {found}"
            )
        source = found
        yield score
    if source is None:
        raise MeasureError(f"there are no {kind} scores of the {which} set")


def _parsed(row: list[str], where: str) -> Score:
    if len(row) != len(Score._fields):
        raise MeasureError(f"{where}: expected {len(Score._fields)} fields, got {len(row)}")
    try:
        number = float(row[8]) if row[8] else -math.inf
    except ValueError:
        raise MeasureError(f"{where}: {row[8]!r} is not a score") from None
    # A file names few protocols, systems and people many times over.
    texts = [*map(sys.intern, row[:4]), row[4], row[5], *map(sys.intern, row[6:8])]
    score = Score._make([*texts, number, sys.intern(row[9])])
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
    texts = "".join(score[:8])
    if "\n" in texts or "\r" in texts or "\n" in score.label or "\r" in score.label:
        return "a field holds a line break"
    return None


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
