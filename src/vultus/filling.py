"""How each predictor of :data:`vultus.predictors.PREDICTORS` is built from the task rooms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from vultus.detection.facemesh import FaceMesh, Meshes, mesh_of_faces
from vultus.faces import Pose
from vultus.landmarks.mesh68 import points_of_mesh
from vultus.landmarks.mesh_pose import head_pose
from vultus.parts import FaceParts
from vultus.predictors import FaceBatch, Predict, Resources


def landmarks(resources: Resources) -> Predict:
    """Return the predictor of 68 points: the face mesh, or the network that was named."""
    if "landmarks" in resources.networks:
        return _network_of_points(resources, resources.networks["landmarks"])
    mesh = _mesh(resources)

    def predict(batch: FaceBatch) -> Any:
        found = _meshes(mesh, batch)
        return [points for part in found for points in points_of_mesh(part.points)]

    return predict


def _network_of_points(resources: Resources, name: str) -> Predict:
    from vultus.landmarks.predictor import LandmarkPredictor

    predictor = LandmarkPredictor(name, resources.provider, resources.threads)

    def predict(batch: FaceBatch) -> Any:
        found = batch.by_picture(
            lambda image, faces: predictor.locate(image, [face.keypoints for face in faces])
        )
        return [points for part in found for points in part]

    return predict


def pose(resources: Resources) -> Predict:
    """Return the predictor of the head's pose from the face mesh."""
    mesh = _mesh(resources)

    def predict(batch: FaceBatch) -> list[Pose]:
        found = _meshes(mesh, batch)
        return [
            Pose(*map(float, angles))
            for part in found
            for angles in head_pose(part.points, part.depth if part.depth is not None else ())
        ]

    return predict


def quality(resources: Resources) -> Predict:
    """Return the predictor of quality; it looks at landmarks, pose and the aligned crop."""
    from vultus.quality.predictor import DEFAULT, QualityPredictor

    name = resources.network("quality", DEFAULT)
    predictor = QualityPredictor(name, resources.provider, resources.threads)

    def predict(batch: FaceBatch) -> list[dict[str, Any]]:
        crops = batch.crops(predictor.template)
        return [q.to_dict() for q in predictor.predict(crops, batch.faces, batch.sizes())]

    return predict


def attributes(resources: Resources) -> Predict:
    """Return the predictor of age and sex; it looks at the aligned crop."""
    from vultus.attributes.predictor import DEFAULT, AttributePredictor

    name = resources.network("attributes", DEFAULT)
    predictor = AttributePredictor(name, resources.provider, resources.threads)

    def predict(batch: FaceBatch) -> list[dict[str, Any]]:
        return [a.to_dict() for a in predictor.predict(batch.crops(predictor.template))]

    return predict


def parts(resources: Resources) -> Predict:
    """Return the predictor of the parts of a face; it looks at the whole picture around the box."""
    from vultus.parsing.predictor import DEFAULT, ParsingPredictor

    name = resources.network("parts", DEFAULT)
    predictor = ParsingPredictor(name, resources.provider, resources.threads)

    def predict(batch: FaceBatch) -> list[FaceParts]:
        boxes = [np.array([f.box for f in group], np.float32) for group in batch.groups()]
        found = predictor.parse_many(batch.images, boxes)
        return [parts for group in found for parts in group]

    return predict


def expression(resources: Resources) -> Predict:
    """Return the predictor of expression; it looks at the aligned crop."""
    from vultus.expression.predictor import DEFAULT, ExpressionPredictor

    name = resources.network("expression", DEFAULT)
    predictor = ExpressionPredictor(name, resources.provider, resources.threads)

    def predict(batch: FaceBatch) -> list[Mapping[str, float]]:
        return predictor.predict(batch.crops(predictor.template))

    return predict


def liveness(resources: Resources) -> Predict:
    """Return the predictor of liveness; it looks at the picture around the box."""
    from vultus.liveness.predictor import DEFAULT, LivenessPredictor

    name = resources.network("liveness", DEFAULT)
    predictor = LivenessPredictor(name, resources.provider, resources.threads)

    def predict(batch: FaceBatch) -> list[dict[str, Any]]:
        crops = batch.by_picture(lambda i, faces: predictor.crop(i, [f.box for f in faces]))
        empty = np.empty((0, predictor.size, predictor.size, 3), np.uint8)
        return [a.to_dict() for a in predictor.decide(np.concatenate([empty, *crops]))]

    return predict


def _mesh(resources: Resources) -> FaceMesh:
    found: FaceMesh = resources.shared(
        "facemesh", lambda: FaceMesh(provider=resources.provider, threads=resources.threads)
    )
    return found


def _meshes(mesh: FaceMesh, batch: FaceBatch) -> list[Meshes]:
    """Return the meshes of each picture with faces, made once per batch."""
    return batch.once(
        "meshes", lambda: batch.by_picture(lambda i, faces: mesh_of_faces(mesh, i, faces))
    )
