"""Frozen prediction tables: what is stored comes back, and what cannot be measured is refused."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest
from prediction_tables import crossed, factor, table

from vultus.audit.model_cards import PredictionTable, read_table
from vultus.errors import MeasureError


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
class TestFiles:
    def test_come_back_as_they_were_written(self, suffix, tmp_path):
        before = crossed(60)
        before.save(tmp_path / f"t{suffix}")
        after, _ = read_table(tmp_path / f"t{suffix}")
        assert after.task == "binary"
        assert after.samples.tolist() == before.samples.tolist()
        assert after.split.tolist() == before.split.tolist()
        np.testing.assert_array_equal(after.values["score"], before.values["score"])
        assert [(g.name, g.values.tolist(), g.provenance) for g in after.groups] == [
            (g.name, g.values.tolist(), g.provenance) for g in before.groups
        ]
        assert after.people is None

    @pytest.mark.parametrize(
        "people", [["a", "a", "b"], [["a", "b"], ["a", "c"], ["b", "c"]]], ids=["one", "two"]
    )
    def test_keep_identities(self, suffix, people, tmp_path):
        before = table([0, 1, 1], [0.1, 0.2, 0.3], people=people, task="verification")
        before.save(tmp_path / f"t{suffix}")
        after, _ = read_table(tmp_path / f"t{suffix}")
        assert after.people is not None
        assert after.people.tolist() == people

    def test_keep_the_order_of_the_factors(self, suffix, tmp_path):
        before = table([0, 1], [0.1, 0.9], {"tone": ["a", "b"], "age": ["c", "d"]})
        before.save(tmp_path / f"t{suffix}")
        assert read_table(tmp_path / f"t{suffix}")[0].factors == ("tone", "age")

    def test_record_the_hash_of_their_bytes(self, suffix, tmp_path):
        file = tmp_path / f"t{suffix}"
        digest = crossed(30).save(file)
        assert digest == hashlib.sha256(file.read_bytes()).hexdigest() == read_table(file)[1]
        assert crossed(30).save(tmp_path / f"again{suffix}") == digest
        assert crossed(30, seed=1).save(tmp_path / f"other{suffix}") != digest

    def test_say_what_is_no_table(self, suffix, tmp_path):
        file = tmp_path / f"t{suffix}"
        file.write_bytes(b"a,b\n1,2\n")
        with pytest.raises(MeasureError, match=f"t{suffix}: no prediction table"):
            read_table(file)
        with pytest.raises(MeasureError, match="cannot be read"):
            read_table(tmp_path / f"none{suffix}")


def test_a_csv_of_another_shape_is_refused(tmp_path):
    file = tmp_path / "t.csv"
    crossed(5).save(file)
    lines = file.read_text().splitlines()
    file.write_text("\n".join([lines[0], lines[1] + ",extra", *(x + ",1" for x in lines[2:])]))
    with pytest.raises(MeasureError, match=r"not expected: \['extra'\]"):
        read_table(file)
    file.write_text("\n".join([*lines[:3], "s1,dev"]))
    with pytest.raises(MeasureError, match="do not match"):
        read_table(file)


def test_other_file_types_are_refused(tmp_path):
    with pytest.raises(MeasureError, match=r"\.parquet or \.csv"):
        crossed(5).save(tmp_path / "t.json")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": [0, 2, 1]}, "0 or 1"),
        ({"score": [0.1, np.nan, 0.2]}, "not finite"),
        ({"score": [0.1, 0.2]}, "shape"),
        ({"score": ["high", "low", "low"]}, "numbers"),
    ],
)
def test_values_that_cannot_be_measured_are_refused(change, message):
    values = {"label": np.array([0, 1, 1]), "score": np.array([0.1, 0.2, 0.3])}
    given = table([0, 1, 1], [0.1, 0.2, 0.3])
    with pytest.raises(MeasureError, match=message):
        replace(given, values=values | {k: np.array(v) for k, v in change.items()})


def test_a_failed_comparison_may_score_minus_infinity_and_nothing_else_may():
    made = table([0, 1], [-np.inf, 0.2], task="verification")
    assert made.values["score"][0] == -np.inf
    with pytest.raises(MeasureError, match="not finite"):
        table([0, 1], [-np.inf, 0.2])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"samples": np.array(["a", "a", "b"])}, "twice"),
        ({"split": np.array(["dev", "", "dev"])}, "empty"),
        ({"task": "ranking"}, "unknown task"),
        ({"values": {"label": np.array([0, 1, 1])}}, "has the columns"),
        ({"people": np.array(["a", "", "b"])}, "empty"),
        ({"people": np.array([1, 2, 3])}, "text"),
        ({"groups": (factor("age", ["x", "y"]),)}, "shape"),
        ({"groups": (factor("age", ["x"] * 3), factor("age", ["x"] * 3))}, "same name"),
    ],
)
def test_columns_that_do_not_fit_are_refused(change, message):
    with pytest.raises(MeasureError, match=message):
        replace(table([0, 1, 1], [0.1, 0.2, 0.3]), **change)


def test_a_part_has_the_rows_of_its_split_and_their_groups():
    whole = crossed(30)
    part = whole.part("dev")
    kept = whole.split == "dev"
    assert part.samples.tolist() == whole.samples[kept].tolist()
    assert part.group("sex").values.tolist() == whole.group("sex").values[kept].tolist()
    with pytest.raises(MeasureError, match=r"no split 'final'; it has \['dev', 'test'\]"):
        whole.part("final")
    with pytest.raises(MeasureError, match="no factor 'height'"):
        whole.group("height")


@pytest.mark.parametrize(
    ("task", "values"),
    [
        ("multiclass", {"label": np.array(["a", "b"]), "prediction": np.array(["a", "a"])}),
        ("regression", {"label": np.array([1.0, 2.0]), "prediction": np.array([1.5, 2.5])}),
        ("landmarks", {"error": np.array([0.02, 0.04])}),
    ],
)
def test_every_task_is_stored(task, values, tmp_path):
    made = PredictionTable(task, np.array(["a", "b"]), np.array(["test", "test"]), values, ())
    for suffix in (".csv", ".parquet"):
        made.save(tmp_path / f"t{suffix}")
        after, _ = read_table(tmp_path / f"t{suffix}")
        assert {k: v.tolist() for k, v in after.values.items()} == {
            k: v.tolist() for k, v in values.items()
        }
