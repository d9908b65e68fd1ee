"""Faces, poses and templates: typed, immutable, and silent about nothing that was not computed."""

from __future__ import annotations

import copy
import json
import pickle
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from vultus.errors import NotComputedError, SpaceMismatchError, VultusError
from vultus.faces import FILLED_BY, Embedding, Face, Pose, flatten, to_pandas
from vultus.parts import FaceParts

BOX = [10.0, 20.0, 110.5, 150.25]
POINTS = [[40, 60], [80, 61], [60, 85], [45, 110], [78, 111]]
FIELDS = {
    "landmarks": np.arange(136, dtype=np.float32).reshape(68, 2),
    "pose": Pose(12.5, -3.0, 1.5),
    "quality": {"overall": 0.75, "sharpness": np.float32(0.5)},
    "liveness": {"probability": 0.9, "decision": "bona fide"},
    "embedding": Embedding(np.arange(1, 5, dtype=np.float32), "net@0123/arcface112"),
    "expression": {"happiness": 0.8, "valence": -0.25},
    "attributes": {"age": 31, "glasses": True, "tags": ("a", "b")},
    "parts": FaceParts({"skin": 0.75, "hair": 0.25}),
}


def bare() -> Face:
    return Face(BOX, 0.875, POINTS)


def full() -> Face:
    return Face(BOX, 0.875, POINTS, **FIELDS)


@pytest.mark.parametrize("field", FILLED_BY)
def test_an_unset_field_names_the_predictor_that_fills_it(field):
    face = bare()
    with pytest.raises(NotComputedError, match=f"Face.{field} .* '{FILLED_BY[field]}' predictor"):
        getattr(face, field)
    assert not hasattr(face, field)
    assert getattr(face, field, "default") == "default"
    assert hasattr(full(), field)


def test_a_field_that_does_not_exist_is_an_ordinary_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'colour'") as caught:
        bare().colour  # noqa: B018
    assert not isinstance(caught.value, NotComputedError)


def test_computed_lists_what_is_there():
    assert bare().computed() == ()
    assert full().computed() == tuple(FILLED_BY)
    assert bare().replace(pose=Pose(0, 0, 0)).computed() == ("pose",)


def test_arrays_are_float32_copies():
    box = np.array(BOX)
    face = Face(box, np.float64(0.5), POINTS)
    box[:] = 0
    np.testing.assert_array_equal(face.box, np.float32(BOX))
    assert face.box.dtype == face.keypoints.dtype == np.float32
    assert type(face.score) is float
    assert (face.width, face.height) == (100.5, 130.25)


def test_nothing_about_a_face_can_be_changed():
    quality = {"overall": 0.75}
    face = full().replace(quality=quality)
    quality["overall"] = 0.0
    assert face.quality["overall"] == 0.75
    for array in (face.box, face.keypoints, face.landmarks, face.embedding.vector):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    for mapping in (face.quality, face.liveness, face.expression, face.attributes):
        with pytest.raises(TypeError):
            mapping["overall"] = 1
    for name in ("score", "pose"):
        with pytest.raises(FrozenInstanceError):
            setattr(face, name, None)
    with pytest.raises(FrozenInstanceError):
        del face.box
    with pytest.raises(FrozenInstanceError):
        face.pose.yaw = 0


@pytest.mark.parametrize(
    "changes",
    [
        {"box": [1, 2, 3]},
        {"box": [1, 2, np.nan, 4]},
        {"box": [10, 2, 10, 4]},
        {"box": [0, 5, 10, 4]},
        {"keypoints": np.zeros((5, 3))},
        {"keypoints": np.zeros((4, 2))},
        {"keypoints": np.full((5, 2), np.inf)},
        {"landmarks": np.zeros((5, 2))},
        {"score": np.nan},
        {"score": 1.5},
        {"score": -0.1},
    ],
    ids=str,
)
def test_a_malformed_field_is_refused_by_name(changes):
    with pytest.raises(VultusError, match=f"Face.{next(iter(changes))}"):
        Face(**({"box": BOX, "score": 0.5, "keypoints": POINTS} | changes))


def assert_equal(a: Face, b: Face) -> None:
    assert a.computed() == b.computed()
    assert json.dumps(a.to_dict()) == json.dumps(b.to_dict())
    np.testing.assert_array_equal(a.box, b.box)


@pytest.mark.parametrize("face", [bare(), full()], ids=["bare", "full"])
def test_a_face_survives_every_way_of_copying(face):
    through_json = json.loads(json.dumps(face.to_dict()))
    copies = [
        Face.from_dict(face.to_dict()),
        Face.from_dict(through_json),
        pickle.loads(pickle.dumps(face)),  # noqa: S301
        copy.copy(face),
        copy.deepcopy(face),
        face.replace(),
    ]
    for other in copies:
        assert_equal(face, other)
        assert not other.box.flags.writeable
    if hasattr(face, "embedding"):
        for other in copies:
            np.testing.assert_array_equal(other.embedding.vector, face.embedding.vector)


def test_to_dict_holds_plain_values_and_may_leave_the_template_out():
    data = full().to_dict()
    assert data["pose"] == {"yaw": 12.5, "pitch": -3.0, "roll": 1.5}
    assert data["quality"] == {"overall": 0.75, "sharpness": 0.5}
    assert data["attributes"]["tags"] == ["a", "b"]
    assert data["embedding"]["space"] == "net@0123/arcface112"
    assert "embedding" not in full().to_dict(embedding=False)
    assert set(bare().to_dict()) == {"box", "score", "keypoints"}


def test_unknown_and_missing_keys_are_refused():
    with pytest.raises(VultusError, match="colour"):
        Face.from_dict(bare().to_dict() | {"colour": 1})
    with pytest.raises(VultusError, match=r"needs \['keypoints'\]"):
        Face.from_dict({"box": BOX, "score": 0.5})
    with pytest.raises(VultusError, match="colour"):
        bare().replace(colour=1)


def test_repr_is_short_and_holds_no_template():
    text = repr(full())
    assert text.startswith("Face(box=[10.0, 20.0, 110.5, 150.2], score=0.875")
    assert len(text) < 200


def test_flatten_gives_one_row_of_plain_values():
    row = flatten(full())
    assert (row["x1"], row["y2"], row["score"]) == (10.0, 150.25, 0.875)
    assert (row["left_eye_x"], row["right_mouth_y"]) == (40.0, 111.0)
    assert (row["pose_yaw"], row["quality_overall"], row["attributes_age"]) == (12.5, 0.75, 31)
    assert (row["landmark_00_x"], row["landmark_67_y"]) == (0.0, 135.0)
    assert row["liveness_decision"] == "bona fide"
    assert not any(key.startswith("embedding") for key in row)
    assert len(flatten(bare())) == 4 + 1 + 10


def test_to_pandas_has_one_row_per_face_and_gaps_where_nothing_was_computed():
    table = to_pandas([full(), bare()])
    assert len(table) == 2
    assert table.loc[0, "pose_roll"] == 1.5
    assert np.isnan(table.loc[1, "pose_roll"])
    assert to_pandas([]).empty


finite = st.floats(-1e3, 1e3, width=32)


@given(
    arrays(np.float32, st.integers(1, 64), elements=finite).filter(lambda v: np.abs(v).max() > 1e-3)
)
def test_a_template_has_unit_length_and_keeps_its_direction(vector):
    template = Embedding(vector, "space")
    assert template.vector.dtype == np.float32
    assert np.linalg.norm(template.vector) == pytest.approx(1, abs=1e-6)
    assert template.vector @ vector == pytest.approx(np.linalg.norm(vector), rel=1e-5)
    again = Embedding(template.vector, "space")
    np.testing.assert_array_equal(again.vector, template.vector)
    assert template.similarity(again) == pytest.approx(1, abs=1e-6)


@given(arrays(np.float32, (2, 16), elements=st.floats(0.5, 1, width=32)))
def test_similarity_is_the_cosine_whichever_way_round(pair):
    a, b = (Embedding(v, "space") for v in pair)
    cosine = float(
        np.dot(*pair.astype(np.float64)) / np.prod(np.linalg.norm(pair.astype(float), axis=1))
    )
    assert a.similarity(b) == b.similarity(a) == pytest.approx(cosine, abs=1e-6)
    assert a.similarity(Embedding(-pair[0], "space")) == pytest.approx(-1)


def test_templates_of_two_spaces_are_not_compared():
    a, b = Embedding(np.ones(4), "net@0123/arcface112"), Embedding(np.ones(4), "net@0123/dlib150")
    with pytest.raises(SpaceMismatchError, match=r"arcface112.*dlib150.*same model"):
        a.similarity(b)


@pytest.mark.parametrize(
    "vector",
    [np.zeros(4), [1, np.nan], [1, np.inf], [[1.0, 2.0]], 1.0, []],
    ids=["zero", "nan", "inf", "matrix", "scalar", "empty"],
)
def test_what_is_no_direction_is_refused(vector):
    with pytest.raises(VultusError, match="finite non-zero vector"):
        Embedding(np.array(vector, np.float32), "space")


def test_a_very_long_vector_does_not_overflow():
    np.testing.assert_allclose(Embedding(np.full(4, 3e38, np.float32), "s").vector, 0.5)


def test_a_template_cannot_be_changed_even_after_copying():
    template = FIELDS["embedding"]
    for other in (template, copy.deepcopy(template), pickle.loads(pickle.dumps(template))):  # noqa: S301
        np.testing.assert_array_equal(other.vector, template.vector)
        assert other.space == template.space
        with pytest.raises(ValueError, match="read-only"):
            other.vector[0] = 1
