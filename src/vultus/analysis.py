"""Detector, alignment and predictors wired together: pictures in, faces out."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from vultus.detection import Detector, central, largest
from vultus.detection.predictor import DEFAULT as DEFAULT_DETECTOR
from vultus.detection.predictor import DETECTORS
from vultus.errors import ImageError, NoFaceError
from vultus.faces import Embedding, Face
from vultus.geometry import UInt8Array
from vultus.images import Limits, describe, open_image
from vultus.predictors import EMBEDDING, PREDICTORS, FaceBatch, Predict, Predictors, choose
from vultus.recognition import Embedder
from vultus.runtime import manifest

Subject = Literal["largest", "central", "only"]

#: Policies of choosing the face that a picture is about, by name.
SUBJECTS: Mapping[str, Subject] = {"largest": "largest", "central": "central", "only": "only"}

#: Recognition network used where none is named.
DEFAULT_EMBEDDER = "compact-recogniser"

#: Pictures that are decoded, searched and embedded together in a stream.
CHUNK = 16


@dataclass(frozen=True, slots=True)
class Analysis:
    """What was found in one picture.

    Parameters
    ----------
    source
        The path as given, or a short name of a picture that is no file.
    width, height
        Size in pixels of the upright picture; 0 where it could not be read.
    faces
        Best detection first.
    error
        Why the picture could not be read, or None.
    image
        The picture itself, uint8 (H, W, 3), where it was asked for.
    """

    source: str
    width: int
    height: int
    faces: tuple[Face, ...] = ()
    error: str | None = None
    image: UInt8Array | None = field(default=None, repr=False, compare=False)

    def to_dict(self, *, embedding: bool = True) -> dict[str, Any]:
        """Return plain values, ready for JSON; ``error`` is present only where there is one."""
        out: dict[str, Any] = {"source": self.source}
        if self.error is not None:
            return out | {"error": self.error}
        faces = [face.to_dict(embedding=embedding) for face in self.faces]
        return out | {"width": self.width, "height": self.height, "faces": faces}


class Analyzer:
    """Finds faces and computes what is asked of them. Thread safe; holds no state between calls.

    Parameters
    ----------
    detector, embedder
        Ready-made parts; the defaults are built on first use.
    provider
        Where the networks run: ``cpu``, ``cuda``, ``openvino``.
    threads
        Threads per network; None lets the runtime choose.
    limits
        What pictures are refused before they are decoded.
    predictors
        Ready-made predictors by field, in place of those of :data:`vultus.predictors.PREDICTORS`,
        which are built when their field is first asked for.
    networks
        Weights to fill fields with in place of the usual ones, ids by field.

    Raises
    ------
    ConfigError
        If ``networks`` names a field whose weight cannot be chosen.
    """

    def __init__(
        self,
        *,
        detector: Detector | None = None,
        embedder: Embedder | None = None,
        provider: str = "cpu",
        threads: int | None = None,
        limits: Limits | None = None,
        predictors: Mapping[str, Predict] | None = None,
        networks: Mapping[str, str] | None = None,
    ) -> None:
        self.detector = detector or Detector(DEFAULT_DETECTOR, provider, threads)
        self.embedder = embedder or Embedder(DEFAULT_EMBEDDER, provider, threads)
        self.limits = limits or Limits()
        known: dict[str, Predict] = {EMBEDDING: self._embed} | dict(predictors or {})
        self._predictors = Predictors(provider, threads, known, networks)

    def open(self, source: Any) -> UInt8Array:
        """Return the picture as uint8 RGB (H, W, 3); raise :class:`ImageError`."""
        return open_image(source, limits=self.limits)

    def detect(self, source: Any) -> list[Face]:
        """Return the faces of one picture, best first."""
        return self.detector.detect(self.open(source))

    def analyze(self, source: Any) -> list[Face]:
        """Return the faces of one picture with every field that a predictor fills."""
        image = self.open(source)
        return self.fill([image], [self.detector.detect(image)], choose())[0]

    def embed_faces(self, image: UInt8Array, faces: Iterable[Face]) -> list[Face]:
        """Return the faces of one picture with their templates."""
        return self.fill([image], [list(faces)], [EMBEDDING])[0]

    def fill(
        self, images: Sequence[UInt8Array], faces: Sequence[Sequence[Face]], fields: Sequence[str]
    ) -> list[list[Face]]:
        """Return the faces of several pictures with further fields, computed in batches.

        Parameters
        ----------
        images
            uint8 RGB (H, W, 3) each.
        faces
            The faces of each picture.
        fields
            Names in an order in which each finds what it needs, as of
            :func:`vultus.predictors.choose`.
        """
        batch = FaceBatch(images, faces)
        self._predictors.run(fields, batch)
        return batch.groups()

    def embed_subject(self, source: Any, subject: Subject = "largest") -> Face:
        """Return the face that the picture is about, with its template.

        Parameters
        ----------
        subject
            ``largest`` face, most ``central`` face, or ``only``: more than one is an error.

        Raises
        ------
        NoFaceError
            If there is no face, or with ``only`` more than one.
        """
        image = self.open(source)
        faces = self.detector.detect(image)
        chosen = choose_subject(faces, image.shape[:2], subject, name_of(source))
        return self.embed_faces(image, [chosen])[0]

    def stream(
        self,
        sources: Iterable[Any],
        *,
        embed: bool = True,
        fields: Iterable[str] = (),
        keep_images: bool = False,
        subject: Subject | None = None,
    ) -> Iterator[Analysis]:
        """Analyse many pictures in order, a chunk at a time.

        A picture that cannot be read yields an :class:`Analysis` with ``error`` and the work goes
        on. Memory is bounded by a chunk of pictures.

        Parameters
        ----------
        embed
            Whether to compute templates.
        fields
            Further fields to compute, names of :mod:`vultus.predictors`; what they need comes too.
        keep_images
            Whether each result carries its picture.
        subject
            Keep only the face that each picture is about; a picture without it yields ``error``.
        """
        wanted = choose([*fields, EMBEDDING] if embed else fields)
        pending = iter(sources)
        with ThreadPoolExecutor(max_workers=2) as pool:
            while chunk := list(islice(pending, CHUNK)):
                pictures = list(pool.map(self._try_open, chunk))
                names = [name_of(source) for source in chunk]
                found = self._chunk(names, pictures, subject, wanted)
                for name, picture, faces in zip(names, pictures, found, strict=True):
                    if isinstance(picture, str):
                        yield Analysis(name, 0, 0, error=picture)
                        continue
                    height, width = picture.shape[:2]
                    yield Analysis(
                        name,
                        width,
                        height,
                        () if isinstance(faces, str) else tuple(faces),
                        faces if isinstance(faces, str) else None,
                        picture if keep_images else None,
                    )

    def _chunk(
        self,
        names: list[str],
        pictures: list[UInt8Array | str],
        subject: Subject | None,
        wanted: Sequence[str],
    ) -> list[list[Face] | str]:
        """Return per picture its faces, or the reason why there are none to return."""
        images = {i: p for i, p in enumerate(pictures) if not isinstance(p, str)}
        faces: dict[int, list[Face]] = {}
        reasons: dict[int, str] = {}
        found = self.detector.detect_many(list(images.values()))
        for (i, image), detected in zip(images.items(), found, strict=True):
            if subject is None:
                faces[i] = detected
                continue
            try:
                faces[i] = [choose_subject(detected, image.shape[:2], subject, names[i])]
            except NoFaceError as error:
                reasons[i] = str(error).removeprefix(f"{names[i]}: ")
        filled = self.fill([images[i] for i in faces], list(faces.values()), wanted)
        faces = dict(zip(faces, filled, strict=True))
        return [faces.get(i, reasons.get(i, "")) for i in range(len(pictures))]

    def _try_open(self, source: Any) -> UInt8Array | str:
        try:
            return self.open(source)
        except ImageError as error:
            return error.reason

    def _embed(self, batch: FaceBatch) -> list[Embedding]:
        vectors = self.embedder.predict(batch.crops(self.embedder.template))
        return [Embedding(vector, self.embedder.space) for vector in vectors]


def name_of(source: Any) -> str:
    """Return a path in full, and a short name of any other picture."""
    return str(source) if isinstance(source, (str, Path)) else describe(source)


def default_weights() -> tuple[str, ...]:
    """Return the ids of the weights that an analyzer may use unasked, loading none of them.

    Weights whose licence has to be accepted first are not among them.
    """
    module, name = DETECTORS[DEFAULT_DETECTOR]
    detector: tuple[str, ...] = getattr(importlib.import_module(module), name).weights
    known = manifest()
    others = [
        weight
        for entry in PREDICTORS.values()
        for weight in entry.weights
        if known[weight].commercial == "yes"
    ]
    return tuple(dict.fromkeys((*detector, DEFAULT_EMBEDDER, *others)))


def choose_subject(faces: list[Face], shape: Sequence[int], subject: Subject, source: str) -> Face:
    """Return the face that a picture of a given shape (H, W) is about.

    Raises
    ------
    NoFaceError
        If there is no face, or with ``only`` more than one; the message names the source.
    """
    if not faces:
        raise NoFaceError(f"{source}: no face was found")
    if subject == "central":
        return central(faces, shape)
    if subject == "only" and len(faces) > 1:
        raise NoFaceError(
            f"{source}: {len(faces)} faces were found where exactly one is wanted; "
            "crop the picture, or let the largest or most central face be chosen"
        )
    return largest(faces)
