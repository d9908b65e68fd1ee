"""Score files: exact round trip, and every damage named by file and line."""

from __future__ import annotations

import gzip
import itertools
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vultus.errors import MeasureError
from vultus.measure.scores import (
    Score,
    comparisons_of,
    presentations_of,
    read_scores,
    write_scores,
)

text = st.text(
    st.characters(exclude_categories=("Cs",), exclude_characters="\x00\r\n"), max_size=12
)
rows = st.builds(
    Score,
    protocol=text,
    set=st.sampled_from(["dev", "eval"]),
    kind=st.sampled_from(["verification", "identification"]),
    system=text,
    reference_id=text,
    probe_id=text,
    reference_subject=text,
    probe_subject=text,
    score=st.floats(allow_nan=False, max_value=1e300) | st.floats(width=32, allow_nan=False),
    label=st.sampled_from(["genuine", "impostor"]),
).filter(lambda row: row.score != np.inf)


def score(**changes: object) -> Score:
    row = Score(
        "lfw", "dev", "verification", "net@1/arcface112", "a/1", "a/2", "a", "a", 0.5, "genuine"
    )
    return row._replace(**changes)  # type: ignore[arg-type]


@settings(max_examples=50)
@given(st.lists(rows, max_size=8), st.sampled_from(["scores.csv", "scores.csv.gz"]))
def test_what_is_written_is_read(written: list[Score], name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        assert write_scores(path, written) == len(written)
        assert list(read_scores(path)) == written
        assert [entry.name for entry in Path(folder).iterdir()] == [name]


def test_the_file_is_plain_and_the_same_each_time(tmp_path: Path) -> None:
    written = [score(), score(score=-np.inf, probe_id='x,"y"')]
    for name in ("one.csv", "two.csv", "one.csv.gz", "two.csv.gz"):
        write_scores(tmp_path / name, iter(written))
    assert (tmp_path / "one.csv").read_text() == (
        "protocol,set,kind,system,reference_id,probe_id,reference_subject,probe_subject,score,"
        "label\n"
        "lfw,dev,verification,net@1/arcface112,a/1,a/2,a,a,0.5,genuine\n"
        'lfw,dev,verification,net@1/arcface112,a/1,"x,""y""",a,a,,genuine\n'
    )
    assert (tmp_path / "one.csv.gz").read_bytes() == (tmp_path / "two.csv.gz").read_bytes()
    assert (
        gzip.decompress((tmp_path / "one.csv.gz").read_bytes())
        == (tmp_path / "one.csv").read_bytes()
    )


def test_reading_and_writing_stream(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    write_scores(path, (score(score=i / 7) for i in range(5000)))
    assert [row.score for row in itertools.islice(read_scores(path), 3)] == [0, 1 / 7, 2 / 7]


def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    write_scores(path, [score()])
    before = path.read_bytes()
    with pytest.raises(MeasureError, match=r"score 2 .*: the score is nan"):
        write_scores(path, [score(), score(score=float("nan"))])
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"set": "test"}, "set must be one of"),
        ({"kind": "search"}, "kind must be one of"),
        ({"label": "same"}, "'genuine' or 'impostor'"),
        ({"score": np.inf}, "the score is inf"),
        ({"kind": "pad", "label": ""}, "label is empty"),
        ({"probe_id": "a\rb"}, "line break"),
    ],
)
def test_scores_outside_the_contract_are_refused(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    with pytest.raises(MeasureError, match=message):
        write_scores(tmp_path / "s.csv", [score(**change)])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda t: t.replace("protocol,set", "protocol;set"), "expected the columns"),
        (lambda t: "", "an empty file"),
        (lambda t: t.replace("0.5", "half"), "line 2: 'half' is not a score"),
        (lambda t: t.replace(",genuine", ""), "line 2: expected 10 fields, got 9"),
        (lambda t: t.replace("dev", "train"), "line 2: set must be"),
        (lambda t: t.replace("a/1", '"a/1'), "cannot be read as a score file"),
    ],
)
def test_damage_is_named_by_file_and_line(tmp_path: Path, damage: object, message: str) -> None:
    path = tmp_path / "scores.csv"
    write_scores(path, [score()])
    path.write_text(damage(path.read_text()))  # type: ignore[operator]
    with pytest.raises(MeasureError, match=message) as error:
        list(read_scores(path))
    assert str(path) in str(error.value)


def test_files_that_cannot_be_opened_or_unpacked_are_named(tmp_path: Path) -> None:
    with pytest.raises(MeasureError, match=r"none\.csv"):
        list(read_scores(tmp_path / "none.csv"))
    (tmp_path / "bad.csv.gz").write_bytes(b"not gzip")
    with pytest.raises(MeasureError, match=r"bad\.csv\.gz"):
        list(read_scores(tmp_path / "bad.csv.gz"))


def test_comparisons_of_one_set_with_their_people() -> None:
    scores = [
        score(),
        score(set="eval", score=0.7),
        score(probe_subject="b", score=0.1, label="impostor"),
        score(kind="pad", label="bona-fide"),
    ]
    comparisons = comparisons_of(scores, which="dev")
    assert (comparisons.genuine.tolist(), comparisons.impostor.tolist()) == ([0.5], [0.1])
    assert comparisons.people is not None
    assert comparisons.people.tolist() == [["a", "a"], ["a", "b"]]
    anonymous = [s._replace(reference_subject="", probe_subject="") for s in scores]
    assert comparisons_of(anonymous, which="dev").people is None


@pytest.mark.parametrize(
    ("scores", "which", "message"),
    [
        ([score()], "eval", "no verification scores of the eval set"),
        ([score()], "test", "set must be one of"),
        ([score(), score(system="other")], "dev", "mix protocols or systems"),
        ([score(), score(label="impostor")], "dev", "disagree"),
    ],
)
def test_scores_that_do_not_belong_together_are_refused(
    scores: list[Score], which: str, message: str
) -> None:
    with pytest.raises(MeasureError, match=message):
        comparisons_of(scores, which=which)


def test_presentations_keep_species_and_subjects() -> None:
    scores = [
        score(kind="pad", label="bona-fide", score=0.9),
        score(kind="pad", label="print", score=0.2, probe_subject="c"),
    ]
    presentations = presentations_of(scores, which="dev")
    assert presentations.scores.tolist() == [0.9, 0.2]
    assert presentations.labels.tolist() == ["bona-fide", "print"]
    assert presentations.subjects is not None
    assert presentations.subjects.tolist() == ["a", "c"]
    with pytest.raises(MeasureError, match="no forgery scores"):
        presentations_of(scores, which="dev", kind="forgery")
