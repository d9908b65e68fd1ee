"""Landmark and pose sets: 300-W, 300W-LP, tables of 68 points, AFLW2000-3D.

Points are pixels with the centre of the top-left pixel at (0, 0). Published annotations that count
from 1, as MATLAB does, are shifted.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vultus.datasets.layout import folder, lines, numbers, pictures, rows, unexpected
from vultus.datasets.records import Dataset, Record
from vultus.errors import DatasetError

_PTS = "version: 1, n_points: N, and N lines 'x y' in braces"


def read_pts(path: Path | str, *, first: int = 1) -> NDArray[np.float32]:
    """Return the points of a ``.pts`` file, float32 (K, 2), 0-based pixels.

    Parameters
    ----------
    path
        The file.
    first
        What the file calls the first pixel: 1 in 300-W.

    Raises
    ------
    DatasetError
        If the file is damaged or announces another number of points.
    """
    path = Path(path)
    text = [row.strip() for row in lines(path, _PTS)]
    text = [row for row in text if row and not row.startswith("//")]
    head = {key.strip(): value.strip() for key, _, value in (row.partition(":") for row in text)}
    if "{" not in text or text[-1] != "}" or not head.get("n_points", "").isdigit():
        raise DatasetError(f"{path}: expected {_PTS}")
    body = text[text.index("{") + 1 : -1]
    points = np.array([numbers(row.split(), str(path)) for row in body if len(row.split()) == 2])
    if len(points) != len(body) or len(points) != int(head["n_points"]):
        raise DatasetError(
            f"{path}: {len(points)} points in {len(body)} lines, announced {head['n_points']}"
        )
    return (points - first).astype(np.float32)


def read_300w(root: Path | str) -> Dataset:
    """List pictures with a ``.pts`` file of the same name beside them, at any depth.

    The split is the folder relative to the root, with slashes (such as ``helen/trainset``), or
    None in the root itself. Label ``landmarks`` float32 (K, 2).

    Raises
    ------
    DatasetError
        If there are none, a file is damaged, or points lack their picture.
    """
    expected = "pictures with a .pts file beside each, such as helen/trainset/1.jpg and 1.pts"
    base = folder(root, expected)
    records = []
    for path in sorted(base.rglob("*.pts")):
        found = [p for p in pictures(path.parent) if p.stem == path.stem]
        if not found:
            raise DatasetError(f"{path} has no picture beside it; expected {expected}")
        where = path.parent.relative_to(base).as_posix()
        labels = {"landmarks": read_pts(path)}
        records.append(Record(found[0], None, None if where == "." else where, labels))
    if not records:
        raise unexpected(base, expected)
    return Dataset("300w", base, tuple(records))


def read_landmark_table(root: Path | str) -> Dataset:
    """List ``SET/IMAGE.jpg`` with 68 points each in ``landmarks.csv``.

    Columns ``set,image,x0,y0,...,x67,y67``, 0-based pixels; the image may lack its suffix. The
    split is the set. Label ``landmarks`` float32 (68, 2), the iBUG order.

    Raises
    ------
    DatasetError
        If the table is missing or damaged, or names a picture that is not there.
    """
    expected = "landmarks.csv with the columns set,image,x0,y0,...,x67,y67, and SET/IMAGE.jpg"
    base = folder(root, expected)
    path = base / "landmarks.csv"
    if not path.is_file():
        raise unexpected(base, expected)
    names = {
        entry.name: {file.stem: file for file in pictures(entry)}
        for entry in base.iterdir()
        if entry.is_dir()
    }
    records = []
    for where, row in rows(path, ("set", "image"), 2 + 136, expected):
        stem = row[1].rsplit(".", 1)[0] if "." in row[1] else row[1]
        files = names.get(row[0], {})
        file = files.get(row[1], files.get(stem))
        if file is None:
            raise DatasetError(f"{where}: there is no picture {row[0]}/{row[1]}")
        points = np.array(numbers(row[2:], where), np.float32)
        records.append(Record(file, None, row[0], {"landmarks": points.reshape(68, 2)}))
    return Dataset("landmarks68", base, tuple(records))


def read_aflw2000(root: Path | str) -> Dataset:
    """List AFLW2000-3D (Zhu et al., 2016): ``image00050.jpg`` with ``image00050.mat``.

    Labels: ``landmarks3d`` float32 (68, 3), x and y in 0-based pixels, the points projected from
    the fitted 3D face (hidden ones too); ``landmarks`` float32 (68, 2), its x and y; ``pose``
    float32 (3,): yaw, pitch, roll in degrees, signs as in :mod:`vultus.faces` (the published yaw
    is positive towards the image's left, and is negated). Needs scipy.

    Raises
    ------
    DatasetError
        If there are none, scipy is missing, or a file is damaged.
    """
    expected = "pictures with a .mat file beside each, such as image00050.jpg and image00050.mat"
    base = folder(root, expected)
    try:
        from scipy.io import loadmat
        from scipy.io.matlab import MatReadError
    except ImportError as error:
        raise DatasetError(f"{base}: .mat files need scipy: pip install scipy") from error
    records = []
    for path in sorted(base.glob("*.mat")):
        found = [p for p in (path.with_suffix(s) for s in (".jpg", ".png")) if p.is_file()]
        if not found:
            raise DatasetError(f"{path} has no picture beside it; expected {expected}")
        try:
            values = loadmat(path, variable_names=("Pose_Para", "pt3d_68"))
            pitch, yaw, roll = np.degrees(values["Pose_Para"].ravel()[:3])
            points = values["pt3d_68"].T.astype(np.float32) - np.array([1, 1, 0], np.float32)
        except (
            KeyError,
            ValueError,
            TypeError,
            OSError,
            NotImplementedError,
            MatReadError,
        ) as error:
            raise DatasetError(f"{path}: expected Pose_Para and pt3d_68 ({error})") from error
        if points.shape != (68, 3):
            raise DatasetError(f"{path}: expected 68 points in pt3d_68, got {points.shape}")
        labels = {
            "landmarks3d": points,
            "landmarks": points[:, :2],
            "pose": np.array([-yaw, pitch, roll], np.float32),
        }
        records.append(Record(found[0], None, None, labels))
    if not records:
        raise unexpected(base, expected)
    return Dataset("aflw2000", base, tuple(records))


def read_300w_lp(root: Path | str) -> Dataset:
    """List 300W-LP (Zhu et al., 2016): ``AFW/NAME.jpg`` with ``landmarks/AFW/NAME_pts.mat``.

    The split is the folder; those of mirror images end in ``_Flip``. Labels: ``landmarks`` and
    ``projected`` float32 (68, 2), 0-based pixels: points on the visible outline, and points
    projected from the fitted 3D face. Needs scipy.

    Raises
    ------
    DatasetError
        If there are none, scipy is missing, or a file is damaged or lacks its picture.
    """
    expected = "pictures such as AFW/NAME.jpg with landmarks/AFW/NAME_pts.mat"
    base = folder(root, expected)
    try:
        from scipy.io import loadmat
        from scipy.io.matlab import MatReadError
    except ImportError as error:
        raise DatasetError(f"{base}: .mat files need scipy: pip install scipy") from error
    records = []
    for path in sorted((base / "landmarks").glob("*/*_pts.mat")):
        split = path.parent.name
        picture = base / split / f"{path.stem.removesuffix('_pts')}.jpg"
        if not picture.is_file():
            raise DatasetError(f"{path}: there is no picture {picture}; expected {expected}")
        try:
            values = loadmat(path, variable_names=("pts_2d", "pts_3d"))
            points = [np.asarray(values[k][:, :2], np.float32) - 1 for k in ("pts_2d", "pts_3d")]
        except (KeyError, ValueError, TypeError, IndexError, OSError, NotImplementedError,
                MatReadError) as error:  # fmt: skip
            raise DatasetError(f"{path}: expected pts_2d and pts_3d ({error})") from error
        if any(p.shape != (68, 2) for p in points):
            raise DatasetError(f"{path}: expected 68 points twice, got {[p.shape for p in points]}")
        labels = {"landmarks": points[0], "projected": points[1]}
        records.append(Record(picture, None, split, labels))
    if not records:
        raise unexpected(base, expected)
    return Dataset("300w-lp", base, tuple(records))
