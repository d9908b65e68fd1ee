"""Bodies of requests and responses, with the examples that the OpenAPI document shows."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from vultus.service.folders import NAME

_BOX = [172.4, 83.0, 283.1, 221.7]
_POINTS = [[201.0, 131.5], [253.2, 128.9], [229.0, 160.1], [209.4, 182.2], [251.0, 180.6]]
_FACE: dict[str, Any] = {"box": _BOX, "score": 0.97, "keypoints": _POINTS}
_SPACE = "dlib-resnet29@0123456789ab/dlib150"
_MATCH = {"person": "Ada", "similarity": 0.91, "face_id": "5f0c1d8e9a7b4c3d2e1f0a9b8c7d6e5f"}


#: Some character that is no space, and no control characters, as galleries want it.
PERSON = r"^[^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f][^\x00-\x1f\x7f]*$"
PersonText = Annotated[str, Field(min_length=1, max_length=1024, pattern=PERSON)]


def _example(**values: Any) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [values]})


class ErrorOut(BaseModel):
    """What went wrong: a stable code for programs, a sentence for people."""

    code: str
    message: str
    details: dict[str, Any] | None = None


class Failure(BaseModel):
    """Body of every response with a status of 400 and above."""

    model_config = _example(
        error={"code": "no_face", "message": "no face was found", "details": {}},
        request_id="1f2e3d4c5b6a7988",
    )
    error: ErrorOut
    request_id: str


class FaceOut(BaseModel):
    """A face: box x1 y1 x2 y2 and five points in pixels of the upright picture."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"examples": [_FACE]})
    box: Annotated[list[float], Field(min_length=4, max_length=4)]
    score: Annotated[float, Field(ge=0, le=1)]
    keypoints: list[list[float]]


class Detected(BaseModel):
    """Faces of one picture, best first."""

    model_config = _example(width=512, height=600, faces=[_FACE])
    width: int
    height: int
    faces: list[FaceOut]


class AnalyzedPicture(BaseModel):
    """Faces of one of several pictures, or why it was left out."""

    index: int
    width: int
    height: int
    faces: list[FaceOut]
    error: ErrorOut | None = None


class Analyzed(BaseModel):
    """Results of several pictures in the order of the request."""

    pictures: list[AnalyzedPicture]


class TemplateOut(BaseModel):
    """A template: unit vector, and the space in which it may be compared."""

    space: str
    vector: list[float]


class EmbeddedFace(FaceOut):
    """A face with its template."""

    embedding: TemplateOut


class Embedded(BaseModel):
    """Templates of one picture."""

    model_config = _example(
        width=512,
        height=600,
        faces=[_FACE | {"embedding": {"space": _SPACE, "vector": [0.08, -0.02]}}],
    )
    width: int
    height: int
    faces: list[EmbeddedFace]


class ThresholdOut(BaseModel):
    """The threshold of a verification, and the error rates measured at it."""

    value: float
    fmr: float | None
    fnmr: float | None
    calibrated_on: str | None


class Verified(BaseModel):
    """Whether two pictures show the same person; ``similarity`` is the raw cosine."""

    model_config = _example(
        same=True,
        similarity=0.93,
        threshold={"value": 0.91, "fmr": 0.001, "fnmr": 0.02, "calibrated_on": "LFW View 1"},
        faces=[_FACE, _FACE],
    )
    same: bool
    similarity: float
    threshold: ThresholdOut
    faces: list[FaceOut]


class GalleryIn(BaseModel):
    """Name of a new gallery."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"name": "visitors"}]}
    )
    name: Annotated[str, Field(pattern=NAME, description="Lower case, digits, '-' and '_'.")]


class GalleryOut(BaseModel):
    """Size and nature of a gallery."""

    model_config = _example(
        name="visitors", faces=120, persons=40, space=_SPACE, dim=128, bytes=180_000
    )
    name: str
    faces: int
    persons: int
    space: str
    dim: int
    bytes: int


class GalleryPage(BaseModel):
    """Names of galleries."""

    model_config = _example(items=["staff", "visitors"], next_cursor=None)
    items: list[str]
    next_cursor: str | None


class PersonOut(BaseModel):
    """A person and the number of their faces."""

    person: str
    faces: int


class PersonPage(BaseModel):
    """Some of the people, by name."""

    model_config = _example(items=[{"person": "Ada", "faces": 3}], next_cursor="kL3x...")
    items: list[PersonOut]
    next_cursor: str | None


class PersonIn(BaseModel):
    """New name of a person."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"person": "Ada Lovelace"}]}
    )
    person: PersonText


class MergeIn(BaseModel):
    """People who are one."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"persons": ["Ada", "A. L."], "into": "Ada Lovelace"}]},
    )
    persons: Annotated[list[str], Field(min_length=1, max_length=100)]
    into: PersonText


class Changed(BaseModel):
    """How many faces a change touched."""

    model_config = _example(faces=3)
    faces: int


class StoredFaceOut(BaseModel):
    """A stored face, without its template."""

    face_id: str
    person: str
    box: list[float] | None
    enrolled: str


class FacePage(BaseModel):
    """Some of the stored faces, by person and identifier."""

    items: list[StoredFaceOut]
    next_cursor: str | None


class EnrolledFace(BaseModel):
    """One enrolled face; ``index`` is its picture's place in the request."""

    index: int
    face_id: str
    box: list[float]
    score: float


class Skipped(BaseModel):
    """A picture that was left out, and why."""

    index: int
    error: ErrorOut


class EnrolledOut(BaseModel):
    """What an enrolment did. Enrolling the same picture again changes nothing."""

    model_config = _example(
        person="Ada",
        added=1,
        unchanged=0,
        faces=[{"index": 0, "face_id": _MATCH["face_id"], "box": _BOX, "score": 0.97}],
        conflicts=[],
        skipped=[],
    )
    person: str
    added: int
    unchanged: int
    faces: list[EnrolledFace]
    conflicts: list[str]
    skipped: list[Skipped]


class SearchThresholdOut(BaseModel):
    """The threshold of a search and its expected false positive identification rate."""

    value: float
    fpir: float | None
    enrolled: int
    calibrated_on: str | None


class Candidate(BaseModel):
    """The best face of one person near a probe."""

    person: str
    similarity: float
    face_id: str


class IdentifiedFace(BaseModel):
    """Who a face is; ``person`` is null unless the decision is ``known``.

    A face of too low a quality is not searched for: the decision is ``refused``, and ``reason``
    says what to do.
    """

    decision: Literal["known", "unknown", "refused"]
    reason: str | None = None
    person: str | None
    similarity: float | None
    candidates: list[Candidate]
    face: FaceOut


class IdentifiedOut(BaseModel):
    """Who is in a picture."""

    model_config = _example(
        width=512,
        height=600,
        threshold={"value": 0.94, "fpir": 0.01, "enrolled": 120, "calibrated_on": "LFW View 1"},
        faces=[
            {
                "decision": "known",
                "person": "Ada",
                "similarity": 0.96,
                "candidates": [_MATCH],
                "face": _FACE,
            }
        ],
    )
    width: int
    height: int
    threshold: SearchThresholdOut
    faces: list[IdentifiedFace]


class JobOut(BaseModel):
    """State of a job; ``result`` is there once it is done."""

    model_config = _example(
        id="b3BhcXVlLWlkLW9mLWpvYg",
        state="done",
        pictures=3,
        analyzed=3,
        result={
            "threshold": 0.93,
            "people": [[{"picture": 0, "face": 0, "box": _BOX}]],
            "skipped": [{"picture": 2, "reason": "not a picture"}],
        },
        error=None,
    )
    id: str
    state: Literal["waiting", "running", "done", "failed", "cancelled"]
    pictures: int
    analyzed: int
    result: dict[str, Any] | None
    error: ErrorOut | None


class WeightOut(BaseModel):
    """A weight file and what may be done with it."""

    id: str
    task: str
    licence: str
    commercial: str
    sha256: str


class ModelsOut(BaseModel):
    """What the service computes with."""

    version: str
    detector: str
    space: str
    dim: int
    calibrated_on: str | None
    weights: list[WeightOut]


class Health(BaseModel):
    """The process is alive."""

    model_config = _example(status="ok")
    status: Literal["ok"]


class Ready(BaseModel):
    """Whether requests will be answered."""

    model_config = _example(ready=True, networks=True, galleries=True)
    ready: bool
    networks: bool
    galleries: bool
