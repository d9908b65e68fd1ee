"""A manifest of one small weight, for tests of the store."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

from vultus.runtime import Store
from vultus.runtime.manifest import DistributionMember, Weight

PAYLOAD = b"weights of a very small network" * 100


def make_weight(source: object = None, payload: bytes = PAYLOAD, **changes: object) -> Weight:
    source = source or DistributionMember(
        "tiny-models", "1.0", "tiny_models/net.bin", "wheel", ("0" * 64,)
    )
    weight = Weight(
        id="net",
        task="recognition",
        source=source,  # type: ignore[arg-type]
        sha256=hashlib.sha256(payload).hexdigest(),
        bytes=len(payload),
        licence="CC0-1.0",
        commercial="yes",
        homepage="https://example.org",
        data="nothing",
    )
    return replace(weight, **changes)  # type: ignore[arg-type]


def make_store(home: Path, weight: Weight, **options: object) -> Store:
    return Store(home, weights={weight.id: weight}, **{"offline": True} | options)  # type: ignore[arg-type]


def files_of(home: Path) -> list[str]:
    """Names of everything kept, but for the locks."""
    found = [p.relative_to(home) for p in home.rglob("*") if p.is_file()]
    return sorted(str(p) for p in found if p.parts[0] != "locks")
