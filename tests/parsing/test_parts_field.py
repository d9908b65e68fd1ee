"""The field of a face that the parsing network fills, by name and only where asked for."""

from __future__ import annotations

import numpy as np

from vultus.analysis import Analyzer
from vultus.predictors import PREDICTORS, FaceBatch, Predictors, choose


def test_parts_are_computed_where_asked_for_alone():
    assert "parts" not in choose()
    assert choose(["parts"]) == ("parts",)
    assert PREDICTORS["parts"].weights == ("rtnet-parsing",)


def test_every_face_of_several_pictures_gets_its_own(analyzer: Analyzer, astronaut: np.ndarray):
    faces = analyzer.detector.detect(astronaut)
    small = np.ascontiguousarray(astronaut[::2, ::2])
    groups = [faces, [], analyzer.detector.detect(small)]
    batch = FaceBatch([astronaut, small[:50], small], groups)
    Predictors(threads=1).run(["parts"], batch)
    first, empty, last = batch.groups()
    assert empty == []
    mask = first[0].parts.mask(astronaut.shape[:2])
    half = last[0].parts.mask(small.shape[:2])
    # The same person at half the size: the same parts, up to borders.
    assert (mask[::2, ::2] == half).mean() > 0.93
    assert "polar" not in str(first[0].to_dict()["parts"])
