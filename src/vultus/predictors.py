"""The predictors behind the fields of a face, by name: what each needs, and how it is built.

A predictor is a callable that takes a :class:`FaceBatch` and returns one value per face, in order.
To add one, add a row to :data:`PREDICTORS` and the function that builds it; nothing is imported or
loaded before its field is first asked for.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, TypeVar

import numpy as np

from vultus.errors import ConfigError
from vultus.faces import FILLED_BY, Face, FloatArray
from vultus.geometry import Template, UInt8Array, align, crop_boxes

T = TypeVar("T")


class FaceBatch:
    """The faces of several pictures; crops and meshes are made once for all predictors.

    Parameters
    ----------
    images
        uint8 RGB (H, W, 3) each.
    groups
        The faces of each picture.
    """

    def __init__(self, images: Sequence[UInt8Array], groups: Sequence[Sequence[Face]]) -> None:
        self.images = list(images)
        self.faces = [face for group in groups for face in group]
        #: Picture of each face.
        self.pictures = [i for i, group in enumerate(groups) for _ in group]
        self._counts = [len(group) for group in groups]
        self._made: dict[Any, Any] = {}

    def __len__(self) -> int:
        return len(self.faces)

    def fill(self, field: str, values: Sequence[Any]) -> None:
        """Set a field of every face."""
        pairs = zip(self.faces, values, strict=True)
        self.faces = [face.replace(**{field: value}) for face, value in pairs]

    def groups(self) -> list[list[Face]]:
        """Return the faces by picture."""
        ends = np.cumsum(self._counts)
        return [
            self.faces[end - count : end] for end, count in zip(ends, self._counts, strict=True)
        ]

    def sizes(self) -> FloatArray:
        """Return width and height of each face's picture, (N, 2)."""
        shapes = [self.images[i].shape for i in self.pictures]
        return np.array([(s[1], s[0]) for s in shapes], np.float32).reshape(-1, 2)

    def crops(self, template: Template) -> UInt8Array:
        """Return crops aligned to a template, (N, S, S, 3)."""
        empty = np.empty((0, template.size, template.size, 3), np.uint8)

        def cut(image: UInt8Array, faces: list[Face]) -> UInt8Array:
            return align(image, [face.keypoints for face in faces], template)

        return self.once(
            ("crops", template.name), lambda: np.concatenate([empty, *self.by_picture(cut)])
        )

    def boxes(self, factor: float, size: int) -> UInt8Array:
        """Return square crops around the boxes, enlarged by a factor, (N, size, size, 3)."""
        empty = np.empty((0, size, size, 3), np.uint8)

        def cut(image: UInt8Array, faces: list[Face]) -> UInt8Array:
            return crop_boxes(image, [face.box for face in faces], factor, size)

        return self.once(
            ("boxes", factor, size), lambda: np.concatenate([empty, *self.by_picture(cut)])
        )

    def by_picture(self, work: Callable[[UInt8Array, list[Face]], T]) -> list[T]:
        """Return what a function makes of each picture that has faces."""
        pairs = zip(self.images, self.groups(), strict=True)
        return [work(image, group) for image, group in pairs if group]

    def once(self, key: Any, make: Callable[[], T]) -> T:
        """Return what was made for a key before, or make it."""
        if key not in self._made:
            self._made[key] = make()
        found: T = self._made[key]
        return found


Predict = Callable[[FaceBatch], Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Resources:
    """Where networks run, and what predictors share: see :class:`Predictors`."""

    provider: str
    threads: int | None
    shared: Callable[[str, Callable[[], Any]], Any]
    networks: Mapping[str, str] = field(default_factory=dict)

    def network(self, field: str, default: str) -> str:
        """Return the weight that is to fill a field."""
        return self.networks.get(field, default)


@dataclass(frozen=True, slots=True)
class Entry:
    """A predictor that can be had.

    Parameters
    ----------
    field
        Field of :class:`~vultus.faces.Face` that it fills, and its name.
    summary
        What it says of a face, in a few words.
    needs
        Fields that must be filled before.
    build
        ``module:function``; the function takes :class:`Resources` and returns the predictor.
    weights
        Ids of the weights that it loads.
    usual
        Whether it runs where nobody asks for it by name.
    chosen
        Whether another weight can be named for it.
    """

    field: str
    summary: str
    build: str
    needs: tuple[str, ...] = ()
    weights: tuple[str, ...] = ()
    usual: bool = True
    chosen: bool = True


_MESH = ("facemesh-468",)

#: All predictors but the recogniser, which an analyzer brings itself.
PREDICTORS: Mapping[str, Entry] = {
    entry.field: entry
    for entry in (
        Entry("landmarks", "68 points", "vultus.filling:landmarks", weights=_MESH),
        Entry("pose", "yaw, pitch and roll", "vultus.filling:pose", weights=_MESH, chosen=False),
        Entry(
            "quality",
            "fitness for recognition, with reasons",
            "vultus.filling:quality",
            needs=("landmarks", "pose"),
            weights=("lightweight-quality",),
        ),
        Entry(
            "attributes",
            "age and sex as they appear",
            "vultus.filling:attributes",
            weights=("age-sex",),
            usual=False,
        ),
        Entry(
            "expression",
            "seven expressions, valence and arousal",
            "vultus.filling:expression",
            weights=("expression",),
            usual=False,
        ),
        Entry(
            "liveness",
            "bona fide or attack, learned from simulated attacks alone; no security control",
            "vultus.filling:liveness",
            weights=("cdcn-light",),
            usual=False,
        ),
        Entry(
            "parts",
            "skin, brows, eyes, nose, lips, mouth and hair",
            "vultus.filling:parts",
            weights=("rtnet-parsing",),
            usual=False,
        ),
    )
}

EMBEDDING = "embedding"

#: Every name that ``--only`` and ``--skip`` take.
NAMES: tuple[str, ...] = (*PREDICTORS, EMBEDDING)


def choose(
    only: Iterable[str] | None = None, skip: Iterable[str] = (), also: Iterable[str] = ()
) -> tuple[str, ...]:
    """Return the names to compute, what each needs before it.

    Parameters
    ----------
    only
        Names wanted; the usual ones if None.
    skip
        Names not wanted.
    also
        Names wanted besides.

    Raises
    ------
    ConfigError
        If a name is unknown, or one that is skipped is needed by one that is wanted.
    """
    left_out = set(skip)
    usual = {name for name in NAMES if name not in PREDICTORS or PREDICTORS[name].usual}
    given = (usual if only is None else set(only)) | set(also)
    unknown = sorted((given | left_out) - set(NAMES))
    if unknown:
        raise ConfigError(f"no predictor {', '.join(unknown)}; known: {', '.join(NAMES)}")
    wanted = [name for name in NAMES if name in given and name not in left_out]
    order: list[str] = []
    for name in wanted:
        for needed in (*_needed(name), name):
            if needed in left_out and only is not None:
                raise ConfigError(f"{name} needs {needed}, which is to be skipped")
            if needed not in order:
                order.append(needed)
    if only is None:
        # Without explicit wishes, whatever needs a skipped field is skipped with it.
        lost = {name for name in wanted if left_out & set(_needed(name))}
        order = [name for name in order if name not in left_out | lost]
    return tuple(order)


def _needed(name: str) -> list[str]:
    entry = PREDICTORS.get(name)
    found: list[str] = []
    for needed in entry.needs if entry else ():
        found += [f for f in (*_needed(needed), needed) if f not in found]
    return found


class Predictors:
    """Predictors by name, each built when it is first asked for. Thread safe.

    Parameters
    ----------
    provider, threads
        See :class:`~vultus.runtime.Session`.
    known
        Ready-made predictors by field, in place of those of :data:`PREDICTORS`.
    networks
        Weights to use in place of the usual ones, ids by field.

    Raises
    ------
    ConfigError
        If ``networks`` names a field whose weight cannot be chosen.
    """

    def __init__(
        self,
        provider: str = "cpu",
        threads: int | None = None,
        known: Mapping[str, Predict] | None = None,
        networks: Mapping[str, str] | None = None,
    ) -> None:
        chosen = dict(networks or {})
        if unknown := sorted(set(chosen) - {e.field for e in PREDICTORS.values() if e.chosen}):
            able = ", ".join(e.field for e in PREDICTORS.values() if e.chosen)
            raise ConfigError(
                f"no weight can be chosen for {', '.join(unknown)}; it can for {able}"
            )
        self._built: dict[str, Predict] = dict(known or {})
        self._common: dict[str, Any] = {}
        self._lock = Lock()
        self._resources = Resources(provider, threads, self._shared, chosen)

    def run(self, names: Sequence[str], batch: FaceBatch) -> None:
        """Fill the fields of a batch, in the order given."""
        for name in names:
            if len(batch):
                batch.fill(name, self._get(name)(batch))

    def _get(self, name: str) -> Predict:
        with self._lock:
            if name not in self._built:
                if name not in PREDICTORS:
                    raise ConfigError(f"no predictor fills {name}; known: {', '.join(FILLED_BY)}")
                module, _, function = PREDICTORS[name].build.partition(":")
                build = getattr(importlib.import_module(module), function)
                self._built[name] = build(self._resources)
            return self._built[name]

    def _shared(self, key: str, make: Callable[[], Any]) -> Any:
        # Called only while a predictor is built, that is under the lock.
        if key not in self._common:
            self._common[key] = make()
        return self._common[key]
