"""The primitives of dlib's binary serialisation.

Integers are a control byte (number of magnitude bytes, sign in the top bit) and the magnitude,
least significant byte first; floating point numbers are two integers, mantissa and binary exponent;
tensors are raw little-endian float32. Source: dlib ``serialize.h`` and ``float_details.h``.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from vultus.errors import WeightsError

FloatArray = NDArray[np.float32]

#: Exponents that stand for infinity, minus infinity and not-a-number.
SPECIAL_EXPONENT = 32000

_TENSOR_VERSION = 2
_ALIAS_VERSION = 1
_LONGEST_NUMBER = 40


class Stream:
    """Reads dlib values one after another from bytes.

    Every method raises :class:`WeightsError`, naming the byte, if the value there is malformed or
    reaches over the end.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.position = 0

    @property
    def remaining(self) -> int:
        """Number of bytes that were not read."""
        return len(self._data) - self.position

    def error(self, reason: str) -> WeightsError:
        """Return an error that names the current byte."""
        return WeightsError(f"malformed dlib file at byte {self.position}: {reason}")

    def take(self, size: int) -> bytes:
        """Return the next ``size`` bytes."""
        if size > self.remaining:
            raise self.error(f"{size} more bytes expected, {self.remaining} left")
        chunk = self._data[self.position : self.position + size]
        self.position += size
        return chunk

    def integer(self) -> int:
        """Return a signed integer of up to 8 magnitude bytes."""
        control = self.take(1)[0]
        size = control & 0x0F
        if control & 0x70 or not 1 <= size <= 8:
            self.position -= 1
            raise self.error(f"control byte {control:#04x} starts no integer")
        magnitude = int.from_bytes(self.take(size), "little")
        return -magnitude if control & 0x80 else magnitude

    def size(self, limit: int) -> int:
        """Return an integer between 0 and ``limit``."""
        value = self.integer()
        if not 0 <= value <= limit:
            raise self.error(f"{value} is no size between 0 and {limit}")
        return value

    def boolean(self) -> bool:
        """Return a boolean, stored as the digit 0 or 1."""
        value = self.take(1)
        if value not in (b"0", b"1"):
            raise self.error(f"{value!r} is no boolean")
        return value == b"1"

    def number(self) -> float:
        """Return a finite floating point number; old files store it as text."""
        if self.remaining and self._data[self.position] & 0x70:
            return self._text_number()
        mantissa, exponent = self.integer(), self.integer()
        if exponent >= SPECIAL_EXPONENT:
            raise self.error("a number is infinite or not a number")
        try:
            return math.ldexp(mantissa, exponent)
        except OverflowError:
            raise self.error(f"number out of range: {mantissa} * 2**{exponent}") from None

    def _text_number(self) -> float:
        window = self._data[self.position : self.position + _LONGEST_NUMBER]
        text, space, _ = window.partition(b" ")
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not space or not math.isfinite(value):
            raise self.error(f"{text!r} is no number")
        self.position += len(text) + 1
        return value

    def string(self) -> str:
        """Return a printable ASCII string of at most 255 bytes."""
        text = self.take(self.size(255))
        if not text.isascii() or not text.decode("ascii").isprintable():
            raise self.error(f"{text[:20]!r} is no name")
        return text.decode("ascii")

    def expect(self, value: int, what: str) -> None:
        """Read an integer that must have this value."""
        actual = self.integer()
        if actual != value:
            raise self.error(f"{what} is {actual}, only {value} is known")

    def tensor(self) -> FloatArray:
        """Return a tensor, float32 (samples, channels, rows, columns), all finite."""
        self.expect(_TENSOR_VERSION, "tensor version")
        shape = self._shape()
        size = math.prod(shape)
        raw = self.take(4 * size)
        array = np.frombuffer(raw, "<f4").astype(np.float32).reshape(shape)
        if not np.isfinite(array).all():
            raise self.error("a tensor holds infinite values or not-a-number")
        return array

    def alias(self) -> tuple[int, int, int, int]:
        """Return the shape of a view into another tensor."""
        self.expect(_ALIAS_VERSION, "tensor view version")
        return self._shape()

    def _shape(self) -> tuple[int, int, int, int]:
        limit = 1 << 31
        return self.size(limit), self.size(limit), self.size(limit), self.size(limit)
