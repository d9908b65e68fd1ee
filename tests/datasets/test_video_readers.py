"""Folders of videos and frames, and decoding a video made here."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from vultus.datasets.videos import frames, read_clips, read_videos
from vultus.errors import DatasetError


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten frames of 32x48, each of one grey level, 20 apart."""
    import cv2

    path = tmp_path_factory.mktemp("video") / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (48, 32))
    assert writer.isOpened()
    for level in range(0, 200, 20):
        writer.write(np.full((32, 48, 3), (level, level, level + 20), np.uint8))
    writer.release()
    return path


def test_videos_know_split_folder_and_identity(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "train/real/rr_client001_1.mov",
        "devel/attack/hand/x_client002_2.MP4",
        "notes.txt",
    )
    dataset = read_videos(tmp_path, identity=lambda path: path.name.split("_")[1])
    assert [(r.identity, r.split, r.labels["folder"]) for r in dataset] == [
        ("client002", "dev", "devel/attack/hand"),
        ("client001", "train", "train/real"),
    ]
    assert read_videos(tmp_path)[0].identity is None


def test_clips_are_folders_of_frames_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    touch(tmp_path, "test/ann_1/10.jpg", "test/ann_1/9.jpg", "bob/frame_002.png", "cover.jpg")
    dataset = read_clips(tmp_path, identity=lambda folder: folder.name.split("_")[0])
    assert [(r.path.name, r.identity, r.split, *r.labels.values()) for r in dataset] == [
        ("frame_002.png", "bob", None, "bob", 0),
        ("9.jpg", "ann", "test", "test/ann_1", 0),
        ("10.jpg", "ann", "test", "test/ann_1", 1),
    ]


@pytest.mark.parametrize("reader", [read_videos, read_clips])
def test_other_folders_are_refused(tmp_path: Path, reader: object) -> None:
    touch(tmp_path, "cover.jpg")
    with pytest.raises(DatasetError, match=r"expected .*; found cover\.jpg"):
        reader(tmp_path)  # type: ignore[operator]


def test_frames_are_decoded_in_order_and_in_rgb(video: Path) -> None:
    decoded = list(frames(video))
    assert len(decoded) == 10
    assert decoded[0].shape == (32, 48, 3)
    for i, image in enumerate(decoded):
        assert image.mean((0, 1)) == pytest.approx([20 * i + 20, 20 * i, 20 * i], abs=4)


def test_frames_are_skipped_and_limited(video: Path) -> None:
    levels = [round(image[..., 1].mean() / 20) for image in frames(video, every=3)]
    assert levels == [0, 3, 6, 9]
    assert len(list(frames(video, limit=4))) == 4
    assert list(frames(video, limit=0)) == []


def test_reading_stops_where_the_caller_does(video: Path) -> None:
    assert len(list(itertools.islice(frames(video), 2))) == 2


def test_what_is_no_video_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.mp4").write_bytes(b"not a video")
    with pytest.raises(DatasetError, match=r"x\.mp4: no frame could be decoded"):
        list(frames(tmp_path / "x.mp4"))
    with pytest.raises(DatasetError, match="every must be 1 or more"):
        list(frames(tmp_path / "x.mp4", every=0))
