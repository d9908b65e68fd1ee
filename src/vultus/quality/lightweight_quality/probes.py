"""Faces with quality labels: what the forest learns from, and one file that holds them.

Labels come from three builders: exact geometry of rendered heads (:func:`rendered_probes`), human
judgement from a CSV file (:func:`manual_labels`), or the comparison of each probe with a clean
reference of the same person (:func:`recognition_labels`).
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vultus.errors import DatasetError
from vultus.quality.components import NAMES
from vultus.quality.features import FeatureSet, Geometry

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int64]

#: A rendered face is bad beyond these: degrees of yaw and pitch, pixels between the eyes.
MAX_YAW, MAX_PITCH, MIN_EYES = 35.0, 25.0, 20.0


@dataclass(frozen=True, slots=True, eq=False)
class Probes:
    """N faces with labels.

    Parameters
    ----------
    geometry
        Where they lie.
    components
        float32 (N, C), see :data:`vultus.quality.components.NAMES`; (N, 0) where unknown.
    label
        float32 (N,), 1 for a good picture, 0 for a bad one, or between.
    person
        int64 (N,); the unit of every division.
    source
        int64 (N,), which camera or collection; people of different sources differ.
    """

    geometry: Geometry
    components: FloatArray
    label: FloatArray
    person: IntArray
    source: IntArray

    def __post_init__(self) -> None:
        n = len(self.geometry)
        if self.components.shape[:1] != (n,) or not (
            self.label.shape == self.person.shape == self.source.shape == (n,)
        ):
            raise DatasetError(f"probes need label, person and source for each of {n} faces")

    def __len__(self) -> int:
        return len(self.geometry)

    def take(self, rows: ArrayLike) -> Probes:
        """Return the faces of a mask (N,) or of indices."""
        keep = np.asarray(rows)
        own = (self.components, self.label, self.person, self.source)
        return Probes(self.geometry.take(keep), *(array[keep] for array in own))

    def features(self, chosen: FeatureSet) -> FloatArray:
        """Return the features of a forest, float32 (N, F).

        Raises
        ------
        DatasetError
            If components are wanted that the probes lack.
        """
        if not chosen.components:
            return chosen.compute(self.geometry)
        if self.components.shape[1] != len(NAMES):
            raise DatasetError("these probes have no components: give a file that has them")
        columns = [NAMES.index(name) for name in chosen.components]
        return chosen.compute(self.geometry, self.components[:, columns])

    def split(self, share: float, seed: int) -> tuple[Probes, Probes]:
        """Return the probes of a share of the people, and those of the others."""
        keys = np.stack([self.source, self.person], 1)
        _, people = np.unique(keys, axis=0, return_inverse=True)
        people = people.ravel()
        count = int(people.max(initial=-1)) + 1
        first = np.zeros(count, np.bool_)
        first[np.random.default_rng((seed, 23)).permutation(count)[: round(share * count)]] = True
        return self.take(first[people]), self.take(~first[people])


def save_probes(path: Path, probes: Probes) -> None:
    """Write probes to a safetensors file, whole or not at all."""
    from safetensors.numpy import save_file

    arrays = {f.name: getattr(probes.geometry, f.name) for f in fields(Geometry)}
    arrays |= {name: getattr(probes, name) for name in ("components", "label", "person", "source")}
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    names = NAMES if probes.components.shape[1] else ()
    whole = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    save_file(whole, part, {"components": json.dumps(names)})
    part.replace(path)


def load_probes(path: Path | str) -> Probes:
    """Read what :func:`save_probes` wrote; :class:`DatasetError` if it is something else."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "numpy") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            names = tuple(json.loads(file.metadata()["components"]))
        geometry = Geometry(**{f.name: arrays.pop(f.name) for f in fields(Geometry)})
        probes = Probes(geometry, **arrays)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise DatasetError(f"{path}: not a file of probes: {error}") from error
    if names not in ((), NAMES):
        raise DatasetError(f"{path}: holds other components than {', '.join(NAMES)}; make it anew")
    return probes


def rendered_probes(people: int, each: int, seed: int, head: str = "procedural") -> Probes:
    """Draw heads in all poses and sizes; label them by their exact geometry.

    A face is bad beyond :data:`MAX_YAW` and :data:`MAX_PITCH`, or with fewer than
    :data:`MIN_EYES` pixels between the eyes. The detector's confidence is 1 for all. Components
    are not measured.
    """
    from vultus.worlds import CameraSpec, PoseSpec, WorldSpec, stream

    size = 48
    spec = WorldSpec(
        head=head,
        size=size,
        samples=1,
        population=seed,
        identities=people,
        pose=PoseSpec((-55, 55), (-32, 32), (-20, 20), normal=False),
        camera=CameraSpec(fill=(0.6, 0.9)),
    )
    rng = np.random.default_rng((seed, 7))
    rows: list[tuple[FloatArray, ...]] = []
    who = []
    for sample in stream(spec, seed, people * each):
        # The picture is enlarged and put anywhere in a frame: geometry alone is looked at.
        scale = np.float32(np.exp(rng.uniform(np.log(0.9), np.log(10))))
        shift = rng.uniform(0, 400, 2).astype(np.float32)
        box = sample.box * scale + np.tile(shift, 2)
        points = [p * scale + shift for p in (sample.keypoints, sample.landmarks)]
        rows.append((box, *points, np.asarray(sample.pose, np.float32)))
        who.append(sample.identity)
    box, five, dense, pose = (np.stack(column) for column in zip(*rows, strict=True))
    geometry = Geometry(box, np.ones(len(box), np.float32), five, dense, pose)
    nothing = np.empty((len(box), 0), np.float32)
    number = np.full(len(box), ("procedural", "ict").index(head), np.int64)
    return Probes(geometry, nothing, geometric_labels(geometry), np.array(who, np.int64), number)


def geometric_labels(geometry: Geometry) -> FloatArray:
    """Return 1 where the pose is near the front and the face large enough, else 0, (N,).

    The distance of the eyes is that of the face from the front: a turned face has no fewer pixels.
    """
    yaw, pitch = np.abs(geometry.pose[:, 0]), np.abs(geometry.pose[:, 1])
    front = geometry.eye_distance / np.maximum(np.cos(np.radians(yaw)), 0.3)
    good = (yaw <= MAX_YAW) & (pitch <= MAX_PITCH) & (front >= MIN_EYES)
    return good.astype(np.float32)


def recognition_labels(
    similarity: ArrayLike, threshold: float, softness: float = 0.0
) -> FloatArray:
    """Return labels from the similarity of each probe to a clean reference of its person, (N,).

    Parameters
    ----------
    similarity
        (N,) or (N, R) cosines to R references; the mean of their labels counts.
    threshold
        At and above it a comparison counts as good.
    softness
        Width in cosine of a logistic step in place of the hard one; 0 for the hard step.
    """
    s = np.asarray(similarity, np.float64)
    s = s[:, None] if s.ndim == 1 else s
    if softness > 0:
        steps = 1 / (1 + np.exp(-np.clip((s - threshold) / softness, -60, 60)))
    else:
        steps = (s >= threshold).astype(np.float64)
    return np.asarray(steps.mean(1), np.float32)


def manual_labels(path: Path | str, names: Mapping[str, int], probes: Probes) -> Probes:
    """Return the probes that a CSV file judges, with its labels.

    Parameters
    ----------
    path
        Columns ``picture`` and ``label``; a label is ``good``, ``bad`` or a number in [0, 1].
    names
        Row of ``probes`` by picture.
    probes
        The faces.

    Raises
    ------
    DatasetError
        If the file lacks a column, names an unknown picture, or a label cannot be read.
    """
    words = {"good": 1.0, "bad": 0.0}
    rows, labels = [], []
    with Path(path).open(newline="", encoding="utf-8") as stream:
        reader = csv.DictReader(stream)
        if not {"picture", "label"} <= set(reader.fieldnames or ()):
            raise DatasetError(f"{path}: needs the columns picture and label")
        for line, row in enumerate(reader, 2):
            text = row["label"].strip().lower()
            try:
                value = words[text] if text in words else float(text)
                rows.append(names[row["picture"]])
            except (ValueError, KeyError) as error:
                raise DatasetError(f"{path}, line {line}: {error} cannot be used") from error
            if not 0 <= value <= 1:
                raise DatasetError(f"{path}, line {line}: a label lies in [0, 1], got {value}")
            labels.append(value)
    chosen = probes.take(np.array(rows, np.intp))
    return replace(chosen, label=np.array(labels, np.float32))
