"""Small galleries of made-up people."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from vultus.faces import Embedding
from vultus.gallery import Enrolment, Gallery, Key

SPACE = "model@0123456789ab/arcface112"
DIM = 32


@pytest.fixture(scope="session")
def key() -> Key:
    return Key(bytes(range(32)))


@pytest.fixture
def gallery(tmp_path: Path, key: Key) -> Gallery:
    return Gallery.create(tmp_path / "gallery", space=SPACE, dim=DIM, key=key)


@pytest.fixture(scope="session")
def people() -> Callable[..., list[Enrolment]]:
    """Return a maker of enrolments: ``persons`` people with ``faces`` noisy templates each."""

    def make(
        persons: int | Sequence[str], faces: int = 3, *, dim: int = DIM, seed: int = 0
    ) -> list[Enrolment]:
        names = [f"person {i}" for i in range(persons)] if isinstance(persons, int) else persons
        items = []
        for name in names:
            # A person's first faces are the same however many are asked for.
            rng = np.random.default_rng([seed, *name.encode()])
            centre = rng.standard_normal(dim)
            for number in range(faces):
                vector = centre + 0.4 * rng.standard_normal(dim)
                items.append(
                    Enrolment(
                        name,
                        Embedding(vector.astype(np.float32), SPACE),
                        f"{name}/{number}.jpg",
                        f"{seed}:{name}:{number}",
                        box=(1.0, 2.0, 30.5, 40.25),
                        quality=0.5,
                        metadata={"n": number},
                    )
                )
        return items

    return make
