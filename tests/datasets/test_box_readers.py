"""WIDER FACE, face tables and files of the dlib annotation tool."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vultus.datasets.boxes import WIDER_MARKS, read_face_table, read_imglab, read_wider
from vultus.errors import DatasetError

WIDER = """0--Parade/a.jpg
2
449 330 122 149 0 0 0 0 0 0
10 20 30 0 2 0 0 0 1 0
1--Handshaking/b.jpg
0
0 0 0 0 0 0 0 0 0 0
0--Parade/c.jpg
1
5 6 7 8 1 0 1 1 2 1
"""


def wider(root: Path, inside: str = "wider_face_split") -> Path:
    (root / inside).mkdir(exist_ok=True)
    (root / inside / "wider_face_val_bbx_gt.txt").write_text(WIDER)
    images = root / "WIDER_val" / "images" / "0--Parade"
    images.mkdir(parents=True)
    (images / "a.jpg").touch()
    return root


@pytest.mark.parametrize("inside", ["wider_face_split", ""])
def test_wider_boxes_marks_and_pictures_without_faces(tmp_path: Path, inside: str) -> None:
    a, b, c = read_wider(wider(tmp_path, inside))
    assert a.labels["boxes"].tolist() == [[449, 330, 571, 479]]
    assert b.labels["boxes"].shape == (0, 4)
    assert c.labels["boxes"].tolist() == [[5, 6, 12, 14]]
    marks = dict(zip(WIDER_MARKS, c.labels["marks"][0].tolist(), strict=True))
    assert (marks["invalid"], marks["occlusion"]) == (1, 2)
    assert [r.labels["ignore"].tolist() for r in (a, b, c)] == [[False], [], [True]]
    assert (a.split, b.labels["event"]) == ("val", "1--Handshaking")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("\n2\n", "\n3\n", "line 1: expected"),
        ("\n2\n", "\ntwo\n", "line 1: expected"),
        ("5 6 7 8 1 0 1 1 2 1\n", "", "line 8: expected"),
        ("449", "x", "'x' is not a number"),
    ],
)
def test_damaged_wider_lists_are_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = wider(tmp_path) / "wider_face_split" / "wider_face_val_bbx_gt.txt"
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(DatasetError, match=message):
        read_wider(tmp_path)


def test_wider_without_pictures_says_so(tmp_path: Path) -> None:
    path = wider(tmp_path) / "WIDER_val" / "images" / "0--Parade" / "a.jpg"
    path.unlink()
    with pytest.raises(DatasetError, match=r"a\.jpg does not exist"):
        read_wider(tmp_path)
    (tmp_path / "wider_face_split" / "wider_face_val_bbx_gt.txt").unlink()
    with pytest.raises(DatasetError, match="expected wider_face_split"):
        read_wider(tmp_path)


def face_table(root: Path) -> Path:
    points = ",".join(map(str, range(136)))
    rows = ["image,x0,y0,x1,y1", f"b.jpg,1,2,3,4,{points}", f"a.jpg,5,6,7,8,{points}"]
    rows.append(f"b.jpg,9,10,11,12,{points}")
    (root / "faces.csv").write_text("\n".join(rows) + "\n")
    for name in ("a.jpg", "b.jpg"):
        (root / name).touch()
    return root


def test_faces_of_one_picture_come_together(tmp_path: Path) -> None:
    a, b = read_face_table(face_table(tmp_path))
    assert a.labels["boxes"].tolist() == [[5, 6, 7, 8]]
    assert b.labels["boxes"].tolist() == [[1, 2, 3, 4], [9, 10, 11, 12]]
    assert b.labels["landmarks"].shape == (2, 68, 2)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("image,x0", "picture,x0", "expected faces.csv"),
        ("a.jpg,5", "c.jpg,5", "line 3: there is no picture c.jpg"),
        ("a.jpg,5,", "a.jpg,", "line 3: 140 fields"),
    ],
)
def test_damaged_face_tables_are_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = face_table(tmp_path) / "faces.csv"
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(DatasetError, match=message):
        read_face_table(tmp_path)


IMGLAB = """<?xml version='1.0'?><dataset><images>
<image file='a.jpg'><box top='90' left='194' width='37' height='38'>
<part name='01' x='3' y='4'/><part name='00' x='1' y='2'/></box>
<box top='1' left='2' width='3' height='4' ignore='1'><part name='00' x='5' y='6'/>
<part name='01' x='7' y='8'/></box></image>
<image file='b.jpg'/></images></dataset>"""


def test_imglab_boxes_and_parts_in_order(tmp_path: Path) -> None:
    (tmp_path / "faces.xml").write_text(IMGLAB)
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).touch()
    a, b = read_imglab(tmp_path / "faces.xml")
    assert a.labels["boxes"].tolist() == [[194, 90, 231, 128], [2, 1, 5, 5]]
    assert a.labels["ignore"].tolist() == [False, True]
    assert a.labels["landmarks"].tolist() == [[[1, 2], [3, 4]], [[5, 6], [7, 8]]]
    assert b.labels["boxes"].shape == (0, 4)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<dataset/>", "found no image"),
        ("<dataset>", "expected an XML file"),
        ("<!DOCTYPE d [<!ENTITY e 'x'>]><dataset>&e;</dataset>", "document types are refused"),
        ("<dataset><image file='none.jpg'/></dataset>", "no picture none.jpg"),
        ("<dataset><image/></dataset>", "expected an XML file"),
    ],
)
def test_other_xml_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "faces.xml").write_text(text)
    with pytest.raises(DatasetError, match=message):
        read_imglab(tmp_path / "faces.xml")


def test_real_sets(data_root: Path) -> None:
    scenes = read_face_table(data_root / "afw_scenes")
    assert len(scenes) == 185
    assert sum(len(r.labels["boxes"]) for r in scenes) == 337
    for record in scenes:
        # The published boxes are those of the points.
        points, boxes = record.labels["landmarks"], record.labels["boxes"]
        around = np.concatenate([points.min(1), points.max(1)], 1)
        assert around == pytest.approx(boxes, abs=0.11)
    faces = data_root / "dlib_examples" / "faces"
    counts = [
        sum(len(r.labels["boxes"]) for r in read_imglab(faces / f"{name}.xml"))
        for name in ("training", "testing")
    ]
    assert counts == [18, 25]
