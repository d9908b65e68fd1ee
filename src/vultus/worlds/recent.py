"""The last things made, by key, for several threads."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Recent(Generic[K, V]):
    """Keeps as many things as asked for, and forgets the one unused for longest.

    Two threads that miss the same key at once both make it; what is made must depend on the key
    alone, and must not be changed afterwards.

    Parameters
    ----------
    size
        Number of things kept.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._things: OrderedDict[K, V] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._things)

    def get(self, key: K, make: Callable[[], V]) -> V:
        """Return the thing under a key, made where it is not there."""
        with self._lock:
            if key in self._things:
                self._things.move_to_end(key)
                return self._things[key]
        made = make()
        with self._lock:
            self._things[key] = made
            while len(self._things) > self.size:
                self._things.popitem(last=False)
        return made
