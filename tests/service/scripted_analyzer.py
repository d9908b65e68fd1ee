"""An analyzer that reads faces from text: ``face 7 8`` shows two people, ``nobody`` none.

It decides what it finds by the bytes alone, so that tests of the service need no weights.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np

from vultus.analysis import Analysis
from vultus.faces import Embedding, Face

SPACE = "scripted@0123456789ab/none"
DIM = 64


def picture(*people: int, note: str = "") -> bytes:
    """Return a picture of some people; another note makes it another picture of them."""
    return f"face {' '.join(map(str, people))} {note and '#' + note}".encode()


class ScriptedAnalyzer:
    """Stands in for :class:`vultus.analysis.Analyzer`.

    ``gate`` holds every batch back while it is not set; ``batches`` holds the sizes of all.
    """

    def __init__(self) -> None:
        self.embedder = SimpleNamespace(space=SPACE, dim=DIM)
        self.detector = SimpleNamespace(name="scripted", weights=())
        self.gate = threading.Event()
        self.gate.set()
        self.begun = threading.Semaphore(0)
        self.batches: list[int] = []

    def stream(
        self,
        sources: Iterable[Any],
        *,
        embed: bool = True,
        fields: Iterable[str] = (),
        subject: str | None = None,
        **_: Any,
    ) -> Iterator[Analysis]:
        pictures = list(sources)
        self.batches.append(len(pictures))
        self.begun.release()
        assert self.gate.wait(30)
        for source in pictures:
            name = getattr(source, "name", f"{source!r}"[:10])
            data = source if isinstance(source, bytes) else source.read()
            found = self._one(name, data, embed, subject)
            if "quality" in fields:
                blurred = b"#blurred" in data
                found = replace(found, faces=tuple(_judged(f, blurred) for f in found.faces))
            yield found

    def _one(self, name: str, data: bytes, embed: bool, subject: str | None) -> Analysis:
        words = data.partition(b"#")[0].split()
        if words[:1] == [b"break"]:
            raise RuntimeError("/secret/path/of/the/server")
        if words[:1] not in ([b"face"], [b"nobody"]):
            return Analysis(name, 0, 0, error="not a picture; raise it with limits=Limits(...)")
        faces = [_face(int(word), embed) for word in words[1:]]
        if subject and (not faces or (subject == "only" and len(faces) > 1)):
            return Analysis(name, 100, 100, error=f"{len(faces)} faces were found")
        return Analysis(name, 100, 100, tuple(faces[:1] if subject else faces))


def _judged(face: Face, blurred: bool) -> Face:
    sharpness, overall = (0.1, 0.02) if blurred else (0.9, 0.95)
    return face.replace(quality={"overall": overall, "sharpness": sharpness, "reasons": []})


def _face(number: int, embed: bool) -> Face:
    x = float(number % 40)
    points = [[x + 3, 5], [x + 7, 5], [x + 5, 7], [x + 3, 9], [x + 7, 9]]
    face = Face(box=[x, 2, x + 10, 12], score=0.9, keypoints=points)
    if not embed:
        return face
    vector = np.random.default_rng(number).standard_normal(DIM).astype(np.float32)
    return face.replace(embedding=Embedding(vector, SPACE))
