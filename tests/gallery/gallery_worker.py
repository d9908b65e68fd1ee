"""What the process tests run in other processes: one task on one gallery, told on stdout.

Usage: gallery_worker.py TASK FOLDER SEED
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from vultus.faces import Embedding
from vultus.gallery import Enrolment, Gallery, Key

SPACE = "model@0123456789ab/arcface112"
DIM = 16
FACES = 640
#: Faces of one commit; each commit holds whole people of four faces.
BATCH = 16


def key(number: int) -> Key:
    return Key(bytes([number]) * 32)


def faces(seed: int = 0) -> list[Enrolment]:
    """Return the same faces always, in whole batches whose order the seed decides."""
    vectors = np.random.default_rng(7).standard_normal((FACES, DIM)).astype(np.float32)
    items = [
        Enrolment(f"p{i // 4}", Embedding(vector, SPACE), f"{i}.jpg", f"{i}")
        for i, vector in enumerate(vectors)
    ]
    batches = [items[i : i + BATCH] for i in range(0, FACES, BATCH)]
    order = np.random.default_rng(seed).permutation(len(batches)) if seed else range(len(batches))
    return [item for number in order for item in batches[number]]


def say(what: object) -> None:
    print(what, flush=True)


def enroll(folder: Path, seed: int) -> None:
    """Say the number of each face before it is stored, then how many were added."""

    def told() -> Iterator[Enrolment]:
        for number, item in enumerate(faces(seed)):
            say(number)
            yield item

    report = Gallery.open(folder, key(0)).enroll(told(), batch=BATCH)
    say(f"added {report.added}")


def read(folder: Path, seed: int) -> None:
    """Search again and again until all faces are there; every answer must be of whole commits."""
    gallery = Gallery.open(folder, key(0))
    probe = np.ones((1, DIM), np.float32)
    seen = 0
    while seen < FACES:
        (found,) = gallery.search(probe, FACES)
        counts: dict[str, int] = {}
        for match in found:
            counts[match.person] = counts.get(match.person, 0) + 1
        torn = len(found) % BATCH or set(counts.values()) - {4}
        if torn or len(found) < seen:
            raise SystemExit(f"torn answer: {len(found)} after {seen}, {counts}")
        if len(found) != seen:
            say(len(found))
        seen = len(found)


def rekey(folder: Path, seed: int) -> None:
    """Re-key from number to number, saying each before it is used."""
    gallery = Gallery.open(folder, key(seed))
    for number in range(seed + 1, 200):
        say(number)
        gallery.rekey(key(number))


if __name__ == "__main__":
    task, folder, seed = sys.argv[1:]
    {"enroll": enroll, "read": read, "rekey": rekey}[task](Path(folder), int(seed))
