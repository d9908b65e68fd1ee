"""Primitives of dlib's serialisation."""

from __future__ import annotations

import numpy as np
import pytest
from dlib_files import integer, number, string, tensor
from hypothesis import given
from hypothesis import strategies as st

from vultus.errors import WeightsError
from vultus.runtime.dlib_format import Stream


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"\x01\x00", 0),
        (b"\x01\x96", 150),
        (b"\x02\x80\x12", 0x1280),
        (b"\x81\x1c", -28),
        (b"\x08" + b"\xff" * 8, 2**64 - 1),
    ],
)
def test_integers_known(data: bytes, value: int) -> None:
    assert Stream(data).integer() == value


@given(st.integers(-(2**64) + 1, 2**64 - 1))
def test_integers_come_back(value: int) -> None:
    stream = Stream(integer(value))
    assert stream.integer() == value
    assert stream.remaining == 0


def test_number_is_mantissa_times_power_of_two() -> None:
    assert Stream(b"\x03\x62\x90\xf5\x81\x11").number() == 0xF59062 * 2**-17


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_numbers_come_back(value: float) -> None:
    assert Stream(number(value)).number() == value


def test_number_as_text_of_old_files() -> None:
    stream = Stream(b"-0.125 \x01\x05")
    assert stream.number() == -0.125
    assert stream.integer() == 5


@pytest.mark.parametrize(
    ("data", "method"),
    [
        (b"", "integer"),
        (b"\x03\x01", "integer"),
        (b"\x00", "integer"),
        (b"\x09" + b"\0" * 9, "integer"),
        (b"\x11\x00", "integer"),
        (b"2", "boolean"),
        (integer(1) + integer(32000), "number"),
        (integer(1) + integer(31999), "number"),
        (b"inf ", "number"),
        (b"1.5", "number"),
        (b"1,5 ", "number"),
        (string("relu\n"), "string"),
        (string("r\xe9lu"), "string"),
        (integer(10) + b"short", "string"),
        (integer(-1), "string"),
        (integer(3) + tensor(np.ones(3))[2:], "tensor"),
        (tensor(np.ones(3))[:-1], "tensor"),
        (tensor(np.array([1, np.nan])), "tensor"),
        (integer(2) + integer(2**31) * 4, "tensor"),
        (integer(2) + integer(-1) * 4, "tensor"),
        (integer(2) + integer(0) * 4, "alias"),
    ],
)
def test_malformed_values_raise(data: bytes, method: str) -> None:
    with pytest.raises(WeightsError, match=r"malformed dlib file at byte \d+"):
        getattr(Stream(data), method)()


def test_tensor_known() -> None:
    array = np.arange(24, dtype=np.float32).reshape(1, 2, 3, 4)
    out = Stream(tensor(array)).tensor()
    assert out.dtype == np.float32
    np.testing.assert_array_equal(out, array)
