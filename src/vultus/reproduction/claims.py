"""What a reproduction states before it runs, and what it measures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from vultus.errors import ConfigError

Direction = Literal["higher", "lower", "equal"]


@dataclass(frozen=True, slots=True)
class Claim:
    """A sentence that a measurement can refute.

    Parameters
    ----------
    id
        Short name, unique within the reproduction.
    sentence
        What is claimed, about a method and a baseline.
    metric
        What is compared, with its unit.
    direction
        Whether the method's value is claimed to be higher or lower than the baseline's, or equal
        to it.
    budget
        Least budget at which the claim can be judged, a key of the module's ``budgets``.
    margin
        By how much the values must differ; for ``equal``, by how much they may.
    """

    id: str
    sentence: str
    metric: str
    direction: Direction
    budget: str = "cpu"
    margin: float = 0.0

    def __post_init__(self) -> None:
        if self.direction not in ("higher", "lower", "equal") or self.margin < 0:
            raise ConfigError(
                f"claim {self.id!r}: direction must be higher, lower or equal and margin >= 0"
            )
        if self.direction == "equal" and not self.margin:
            raise ConfigError(f"claim {self.id!r}: equality needs a margin above 0")


@dataclass(frozen=True, slots=True)
class Measurement:
    """One seed's values for one claim.

    Parameters
    ----------
    method, baseline
        Value of the metric on each side.
    n
        Items behind each value, for example test pairs.
    clusters
        Per person or other group, (method, baseline), where the metric is a mean over groups:
        ``method`` and ``baseline`` must then be the means of these.
    details
        Further numbers for the record.
    """

    method: float
    baseline: float
    n: int
    clusters: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not (math.isfinite(self.method) and math.isfinite(self.baseline)):
            raise ConfigError(
                f"a measurement must be finite, got {self.method} and {self.baseline}"
            )
        if self.clusters:
            sums = [sum(pair[i] for pair in self.clusters.values()) for i in (0, 1)]
            means = [total / len(self.clusters) for total in sums]
            both = ((self.method, means[0]), (self.baseline, means[1]))
            if not all(math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-9) for a, b in both):
                raise ConfigError("a measurement's values must be the means over its clusters")
