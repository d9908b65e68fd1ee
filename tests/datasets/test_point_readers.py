"""300-W points, landmark tables and AFLW2000-3D."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vultus.datasets.points import (
    read_300w,
    read_300w_lp,
    read_aflw2000,
    read_landmark_table,
    read_pts,
)
from vultus.errors import DatasetError

PTS = "version: 1\nn_points:  3\n{\n1.000 1.000\n10.5 20.25\n-3 4\n}\n"


def test_points_count_from_zero(tmp_path: Path) -> None:
    (tmp_path / "a.pts").write_text(PTS)
    assert read_pts(tmp_path / "a.pts").tolist() == [[0, 0], [9.5, 19.25], [-4, 3]]
    assert read_pts(tmp_path / "a.pts", first=0)[0].tolist() == [1, 1]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("n_points:  3", "n_points: 4", "3 points in 3 lines, announced 4"),
        ("}\n", "", "expected version"),
        ("-3 4", "-3", "2 points in 3 lines"),
        ("-3 4", "-3 x", "'x' is not a number"),
        ("n_points:  3\n", "", "expected version"),
    ],
)
def test_damaged_points_are_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "a.pts"
    path.write_text(PTS.replace(old, new))
    with pytest.raises(DatasetError, match=message) as error:
        read_pts(path)
    assert str(path) in str(error.value)


def test_300w_folders_are_splits(tmp_path: Path) -> None:
    for name in ("helen/trainset/1", "afw/2", "3"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / f"{name}.pts").write_text(PTS)
        (tmp_path / f"{name}.png").touch()
    assert [(r.path.name, r.split) for r in read_300w(tmp_path)] == [
        ("3.png", None),
        ("2.png", "afw"),
        ("1.png", "helen/trainset"),
    ]
    (tmp_path / "afw" / "2.png").unlink()
    with pytest.raises(DatasetError, match=r"2\.pts has no picture"):
        read_300w(tmp_path)


def landmark_table(root: Path) -> Path:
    header = "set,image," + ",".join(f"x{i},y{i}" for i in range(68))
    rows = [f"a,face.1,{','.join(map(str, range(136)))}", f"b,2.png,{','.join(['0.5'] * 136)}"]
    (root / "landmarks.csv").write_text("\n".join([header, *rows]) + "\n")
    for name in ("a/face.1.jpg", "b/2.png"):
        (root / name).parent.mkdir()
        (root / name).touch()
    return root


def test_landmark_table(tmp_path: Path) -> None:
    one, other = read_landmark_table(landmark_table(tmp_path))
    assert (one.path.name, one.split, other.path.name) == ("face.1.jpg", "a", "2.png")
    assert one.labels["landmarks"].shape == (68, 2)
    assert one.labels["landmarks"][1].tolist() == [2, 3]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("set,image", "image,set", "expected landmarks.csv"),
        ("a,face.1", "a,face.2", "line 2: there is no picture a/face.2"),
        (",135", "", "line 2: 137 fields, expected 138"),
        (",135", ",x", "line 2: 'x' is not a number"),
    ],
)
def test_damaged_tables_are_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = landmark_table(tmp_path) / "landmarks.csv"
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(DatasetError, match=message):
        read_landmark_table(tmp_path)


def test_aflw2000_angles_take_the_signs_of_the_package(tmp_path: Path) -> None:
    from scipy.io import savemat

    points = np.arange(204, dtype=float).reshape(3, 68)
    pose = np.radians([[10.0, 20.0, -30.0, 0, 0, 0, 1]])
    savemat(tmp_path / "image1.mat", {"Pose_Para": pose, "pt3d_68": points})
    (tmp_path / "image1.jpg").touch()
    labels = read_aflw2000(tmp_path)[0].labels
    assert labels["pose"] == pytest.approx([-20, 10, -30])
    assert labels["landmarks3d"][0].tolist() == [-1, 67, 136]
    assert labels["landmarks"].shape == (68, 2)
    savemat(tmp_path / "image1.mat", {"pt3d_68": points})
    with pytest.raises(DatasetError, match="expected Pose_Para"):
        read_aflw2000(tmp_path)
    (tmp_path / "image1.mat").write_bytes(b"not a mat file")
    with pytest.raises(DatasetError, match=r"image1\.mat"):
        read_aflw2000(tmp_path)


def test_300w_lp_has_the_points_of_both_conventions(tmp_path: Path) -> None:
    from scipy.io import savemat

    points = np.arange(136, dtype=float).reshape(68, 2)
    for folder in ("AFW", "landmarks/AFW"):
        (tmp_path / folder).mkdir(parents=True)
    path = tmp_path / "landmarks" / "AFW" / "AFW_1_2_0_pts.mat"
    savemat(path, {"pts_2d": points, "pts_3d": points + 1})
    with pytest.raises(DatasetError, match="there is no picture"):
        read_300w_lp(tmp_path)
    (tmp_path / "AFW" / "AFW_1_2_0.jpg").touch()
    (record,) = read_300w_lp(tmp_path)
    assert (record.split, record.path.name) == ("AFW", "AFW_1_2_0.jpg")
    assert record.labels["landmarks"][1].tolist() == [1, 2]
    assert record.labels["projected"][1].tolist() == [2, 3]
    savemat(path, {"pts_2d": points[:5], "pts_3d": points})
    with pytest.raises(DatasetError, match="expected 68 points twice"):
        read_300w_lp(tmp_path)
    savemat(path, {"pts_2d": points})
    with pytest.raises(DatasetError, match="expected pts_2d and pts_3d"):
        read_300w_lp(tmp_path)


@pytest.mark.parametrize("reader", [read_300w, read_300w_lp, read_landmark_table, read_aflw2000])
def test_other_folders_are_refused(tmp_path: Path, reader: object) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(DatasetError, match=r"expected .*; found notes\.txt"):
        reader(tmp_path)  # type: ignore[operator]


def test_real_sets(data_root: Path) -> None:
    table = read_landmark_table(data_root / "landmarks68")
    sizes = {name: len(table.split(name)) for name in ("afw", "helen_train", "helen_test")}
    assert sizes == {"afw": 337, "helen_train": 870, "helen_test": 330}
    assert len(table) == 2342


def test_real_poses_agree_with_the_points(data_root: Path) -> None:
    dataset = read_aflw2000(data_root / "aflw2000_16")
    assert len(dataset) == 16
    yaw, pitch, roll = dataset.label("pose").T
    points = dataset.label("landmarks3d")
    eyes = points[:, [36, 45]]
    # The normal of the plane of outer eye and mouth corners points along the nose.
    across = points[:, 45] + points[:, 54] - points[:, 36] - points[:, 48]
    down = points[:, 48] + points[:, 54] - points[:, 36] - points[:, 45]
    normal = np.cross(across, down)
    centre = points[:, [36, 45, 48, 54]].mean(1)
    normal *= np.sign((normal * (points[:, 30] - centre)).sum(1, keepdims=True))
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    assert normal[:, 0] == pytest.approx(np.sin(np.radians(yaw)), abs=0.06)
    assert np.corrcoef(-normal[:, 1], pitch)[0, 1] > 0.9
    frontal = np.abs(yaw) < 20
    tilt = np.degrees(np.arctan2(*(eyes[:, 1] - eyes[:, 0])[:, 1::-1].T))
    assert np.corrcoef(tilt[frontal], roll[frontal])[0, 1] > 0.8
