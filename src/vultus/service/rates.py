"""Token buckets."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable

#: Buckets kept; a bucket that is forgotten starts full again, and the least used goes first.
_MOST = 10_000


class TokenBuckets:
    """One token bucket for each name, filled with ``per_minute`` tokens up to ``burst``.

    Parameters
    ----------
    clock
        Seconds that never go back.
    """

    def __init__(
        self, per_minute: float, burst: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate = per_minute / 60
        self._burst = float(burst)
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, name: str, tokens: int = 1) -> int:
        """Take tokens; return 0, or the seconds to wait where there are too few.

        Nothing is taken then. A request for more than the whole bucket costs the whole bucket.
        """
        if self._rate <= 0:
            return 0
        now = self._clock()
        left, since = self._buckets.pop(name, (self._burst, now))
        left = min(self._burst, left + (now - since) * self._rate)
        wanted = min(float(tokens), self._burst)
        enough = left >= wanted
        self._buckets[name] = (left - wanted if enough else left, now)
        if len(self._buckets) > _MOST:
            self._buckets.popitem(last=False)
        return 0 if enough else max(1, math.ceil((wanted - left) / self._rate))
