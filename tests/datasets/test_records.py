"""Records and the sets they form."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from vultus.datasets import Dataset, Record
from vultus.errors import DatasetError


@pytest.fixture
def dataset() -> Dataset:
    records = [
        Record(Path("b/1.jpg"), "b", "train", {"age": 30}),
        Record(Path("a/1.jpg"), "a", "test", {"age": 20, "sex": "f"}),
        Record(Path("b/2.jpg"), "b", "test", {"age": 31}),
    ]
    return Dataset("small", Path("."), tuple(records))


def test_a_set_is_a_sequence(dataset: Dataset) -> None:
    assert len(dataset) == 3
    assert [r.identity for r in dataset] == ["b", "a", "b"]
    assert dataset[-1].path == Path("b/2.jpg")
    assert [r.identity for r in dataset[1:]] == ["a", "b"]
    assert [r.path for r in dataset.take(np.array([2, 0]))] == [Path("b/2.jpg"), Path("b/1.jpg")]


def test_splits_are_chosen_by_name(dataset: Dataset) -> None:
    assert len(dataset.split("test")) == 2
    with pytest.raises(DatasetError, match="no split 'val'; it has test, train"):
        dataset.split("val")


def test_identities_are_codes_into_sorted_names(dataset: Dataset) -> None:
    codes, names = dataset.identities()
    assert (codes.tolist(), names) == ([1, 0, 1], ["a", "b"])
    nameless = Dataset("x", Path("."), (Record(Path("1.jpg")),))
    with pytest.raises(DatasetError, match=r"1\.jpg has no identity"):
        nameless.identities()


def test_labels_are_arrays_and_missing_ones_are_named(dataset: Dataset) -> None:
    assert dataset.label("age").tolist() == [30, 20, 31]
    with pytest.raises(DatasetError, match=r"b/1\.jpg has no label 'sex'; labels here: age"):
        dataset.label("sex")


def test_records_go_to_other_processes(dataset: Dataset) -> None:
    copy = pickle.loads(pickle.dumps(dataset))  # noqa: S301
    assert [r.path for r in copy] == [r.path for r in dataset]


def test_a_plain_record_is_opened_by_its_path() -> None:
    assert Record(Path("x.jpg")).source() == Path("x.jpg")
