"""Detection: recall, false boxes, keypoint error and speed, beside other detectors in the same run.

Data are found through ``VULTUS_DATA``, peers as ``detection_peers.py`` says; what is absent is left
out of the result. Definitions:

* recall: part of the annotated faces that a returned box covers with an IoU of at least 0.4; on
  AFW the annotated boxes are those of the 68 points, on dlib's examples dlib's squares;
* mosaics: pictures of 2000 pixels put together from 25 AFW scenes each, for small faces in a large
  picture; the peers see them shrunk to 640 as they see everything;
* false boxes: per picture, boxes with an IoU under 0.3 with every annotated face and with every
  box of YuNet at full size and a threshold of 0.3 (the annotations are incomplete);
* LFW failures: pictures without any face, and pictures where none covers the centre;
* keypoint error: mean distance of the five points to those made of the 68 annotated ones (eye
  centres as means of six points, 30, 48 and 54), in outer eye distances, over faces found;
* profile: part of the FASSEG pictures where a face is found, by absolute yaw in degrees;
* speed: median wall and processor milliseconds per picture, detectors taking turns on each.

AFW is also where this package's thresholds and box proportions were chosen; dlib's examples were
looked at once, and Helen, FASSEG and LFW had no part in it.

    OMP_NUM_THREADS=1 python benchmarks/detection.py [--json FILE] [--lfw N] [--only NAME ...]
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import re
import statistics
import time
import xml.etree.ElementTree as ElementTree
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from detection_peers import peers, reference
from machine import describe_machine
from vultus.detection import DETECTORS, Detector
from vultus.errors import ConfigError
from vultus.faces import Face
from vultus.geometry import box_iou

Image = np.ndarray[Any, np.dtype[np.uint8]]
Find = Callable[[Image], list[Face]]
Scene = tuple[Image, np.ndarray[Any, Any], np.ndarray[Any, Any] | None]

THREADS = 1
FOUND, FALSE = 0.4, 0.3
_ROOT = Path(__file__).resolve().parent.parent


def read(path: Path) -> Image:
    """Return a picture file as RGB."""
    bgr = cv2.imread(str(path))
    if bgr is None:
        raise FileNotFoundError(path)
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)


def afw_scenes(root: Path) -> Iterator[Scene]:
    """Yield picture, boxes (K, 4) and 68 points (K, 68, 2)."""
    faces = defaultdict(list)
    with (root / "afw_scenes" / "faces.csv").open() as stream:
        for row in list(csv.reader(stream))[1:]:
            faces[row[0]].append([float(value) for value in row[1:]])
    for name, rows in sorted(faces.items()):
        values = np.array(rows)
        points = values[:, 4:].reshape(-1, 68, 2)
        yield read(root / "afw_scenes" / name), values[:, :4], points


def dlib_examples(root: Path) -> Iterator[Scene]:
    """Yield picture and boxes (K, 4)."""
    folder = root / "dlib_examples" / "faces"
    for listing in ("training.xml", "testing.xml"):
        for image in ElementTree.parse(folder / listing).iter("image"):
            boxes = [
                [float(box.get(key, "0")) for key in ("left", "top", "width", "height")]
                for box in image.iter("box")
            ]
            corner_size = np.array(boxes).reshape(-1, 4)
            corner_size[:, 2:] += corner_size[:, :2]
            yield read(folder / str(image.get("file"))), corner_size, None


def afw_mosaics(root: Path, pictures: int = 4, grid: int = 5, side: int = 2000) -> Iterator[Scene]:
    """Yield pictures of 2000 pixels, each of 25 AFW scenes, whose faces have 10 to 220 pixels."""
    scenes = list(afw_scenes(root))
    cell = side // grid
    for picture in range(pictures):
        canvas, boxes = np.zeros((side, side, 3), np.uint8), []
        for k in range(grid * grid):
            image, faces, _ = scenes[(picture * grid * grid + k) % len(scenes)]
            tile = _long_side(image, cell)
            y, x = k // grid * cell, k % grid * cell
            canvas[y : y + tile.shape[0], x : x + tile.shape[1]] = tile
            boxes.append(faces * (cell / max(image.shape[:2])) + np.array([x, y, x, y]))
        yield canvas, np.concatenate(boxes), None


def helen_crops(root: Path, margin: int = 128) -> Iterator[Scene]:
    """Yield the Helen test crops, their edges drawn out to a natural distance."""
    with (root / "landmarks68" / "landmarks.csv").open() as stream:
        rows = [row for row in csv.reader(stream) if row[0] == "helen_test"]
    for _, name, *values in rows:
        crop = read(root / "landmarks68" / "helen_test" / f"{name}.jpg")
        picture = cv2.copyMakeBorder(crop, *(margin,) * 4, cv2.BORDER_REPLICATE)
        points = np.array(values, float).reshape(1, 68, 2) + margin
        yield np.asarray(picture, np.uint8), _bounds(points), points


def _bounds(points: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.concatenate([points.min(1), points.max(1)], 1)


def five_of_68(points: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return (5, 2) keypoints of one face's 68 points."""
    eyes = [points[36:42].mean(0), points[42:48].mean(0)]
    return np.stack([*eyes, points[30], points[48], points[54]])


def on_scenes(finders: dict[str, Find], scenes: Iterable[Scene], judge: Find | None) -> Any:
    """Return recall by face size, false boxes and keypoint error of each detector."""
    hits = {name: defaultdict(list) for name in finders}
    errors: dict[str, list[np.ndarray[Any, Any]]] = {name: [] for name in finders}
    false: dict[str, int] = dict.fromkeys(finders, 0)
    pictures = 0
    for image, boxes, points in scenes:
        pictures += 1
        known = [boxes] + ([_boxes(judge(image))] if judge else [])
        for name, find in finders.items():
            faces = find(image)
            found = _boxes(faces)
            overlap = box_iou(boxes, found)
            for k, box in enumerate(boxes):
                hit = bool(len(found)) and bool(overlap[k].max() >= FOUND)
                hits[name][_size_class(box)].append(hit)
                if hit and points is not None:
                    face = faces[int(overlap[k].argmax())]
                    errors[name].append(_errors(face, points[k]))
            if len(found):
                false[name] += int((box_iou(found, np.concatenate(known)).max(1) < FALSE).sum())
    return {
        name: _scene_row(hits[name], errors[name], false[name] / pictures if judge else None)
        for name in finders
    }


def _boxes(faces: list[Face]) -> np.ndarray[Any, Any]:
    return np.array([face.box for face in faces]).reshape(-1, 4)


def _size_class(box: np.ndarray[Any, Any]) -> str:
    side = max(box[2] - box[0], box[3] - box[1])
    limits = {24: "under 24 px", 40: "24-40 px", 80: "40-80 px"}
    return next((name for limit, name in limits.items() if side < limit), "80 px and more")


def _errors(face: Face, points: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    unit = np.linalg.norm(points[36] - points[45])
    errors: np.ndarray[Any, Any] = (
        np.linalg.norm(face.keypoints - five_of_68(points), axis=1) / unit
    )
    return errors


def _scene_row(hits: Any, errors: Any, false: float | None) -> dict[str, Any]:
    large = [hit for size in ("40-80 px", "80 px and more") for hit in hits[size]]
    row: dict[str, Any] = {
        "faces_40_px": len(large),
        "recall_40_px": _round(np.mean(large)),
        "recall_by_size": {
            size: f"{sum(values)}/{len(values)}" for size, values in sorted(hits.items()) if values
        },
        "false_boxes_per_picture": _round(false),
    }
    if errors:
        each = np.array(errors)
        parts = ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth")
        row["keypoint_error"] = _round(each.mean())
        row["keypoint_error_by_part"] = dict(zip(parts, map(_round, each.mean(0)), strict=True))
        row["keypoint_error_faces"] = len(each)
    return row


def _round(value: Any, digits: int = 4) -> float | None:
    return None if value is None else round(float(value), digits)


def on_lfw(finders: dict[str, Find], files: list[Path]) -> Any:
    """Return how many pictures show no face, or none at the centre, for each detector."""
    rows = {name: {"pictures": len(files), "no_face": 0, "no_subject": 0} for name in finders}
    for file in files:
        image = read(file)
        centre = np.array([image.shape[1], image.shape[0]]) / 2
        for name, find in finders.items():
            boxes = _boxes(find(image))
            covers = ((boxes[:, :2] < centre) & (boxes[:, 2:] > centre)).all(1)
            rows[name]["no_face"] += not len(boxes)
            rows[name]["no_subject"] += not covers.any()
    for row in rows.values():
        row["failure_percent"] = _round(100 * row["no_subject"] / len(files))
    return rows


def on_profiles(finders: dict[str, Find], root: Path) -> Any:
    """Return the part of pictures where a face is found, by absolute yaw."""
    found = {name: defaultdict(list) for name in finders}
    for file in sorted((root / "fasseg" / "multipose01" / "Test_RGB").rglob("*.jpg")):
        yaw = abs(int(re.findall(r"[-+]?\d+", file.parent.name)[-1]))
        image = read(file)
        for name, find in finders.items():
            found[name][yaw].append(bool(find(image)))
    return {
        name: {str(yaw): f"{sum(hits)}/{len(hits)}" for yaw, hits in sorted(by_yaw.items())}
        for name, by_yaw in found.items()
    }


def speed(finders: dict[str, Find], images: list[Image], rounds: int = 3) -> Any:
    """Return median milliseconds per picture, the detectors taking turns."""
    wall: dict[str, list[float]] = {name: [] for name in finders}
    busy: dict[str, list[float]] = {name: [] for name in finders}
    for image in [images[0], *images * rounds]:
        for name, find in finders.items():
            start, used = time.perf_counter(), time.process_time()
            find(image)
            wall[name].append(time.perf_counter() - start)
            busy[name].append(time.process_time() - used)
    return {
        name: {
            "wall_ms": _round(statistics.median(wall[name][1:]) * 1e3, 2),
            "processor_ms": _round(statistics.median(busy[name][1:]) * 1e3, 2),
        }
        for name in finders
    }


def detectors(only: Sequence[str]) -> dict[str, Find]:
    """Return this package's detectors and the peers that can run here, or some of them."""
    found: dict[str, Find] = {}
    for name in DETECTORS:
        try:
            found[name] = Detector(name, threads=THREADS).detect
        except ConfigError as error:
            print(f"left out: {name}: {error}")
    found |= peers(THREADS)
    return {name: find for name, find in found.items() if not only or name in only}


def measure(root: Path, lfw: int, only: Sequence[str] = ()) -> dict[str, Any]:
    """Run every measurement whose data are here."""
    finders, judge = detectors(only), reference(THREADS)
    result: dict[str, Any] = {}
    scenes: list[tuple[str, str, Callable[[Path], Iterator[Scene]], Find | None]] = [
        ("afw_scenes", "afw_scenes", afw_scenes, judge),
        ("afw_mosaics", "afw_scenes", afw_mosaics, judge),
        ("dlib_examples", "dlib_examples", dlib_examples, judge),
        ("helen_test", "landmarks68", helen_crops, None),
    ]
    for name, folder, scene, judges in scenes:
        if (root / folder).is_dir():
            result[name] = _show(name, on_scenes(finders, scene(root), judges))
    if (root / "fasseg").is_dir():
        result["fasseg_profiles"] = _show("fasseg", on_profiles(finders, root))
    files = sorted((root / "lfw_view1" / "images").glob("*/*.jpg"))
    if files:
        sample = files[:: max(len(files) // lfw, 1)][:lfw]
        result["lfw_view1"] = _show("lfw_view1", on_lfw(finders, sample))
        small = [read(file) for file in files[::281]]
        result["speed_250_px"] = _show("speed at 250 px", speed(finders, small))
    if (root / "afw_scenes").is_dir():
        pictures = [image for image, _, _ in afw_scenes(root)][::8]
        large = [_long_side(image, 640) for image in pictures]
        result["speed_640_px"] = _show("speed at 640 px", speed(finders, large))
    return result


def _long_side(image: Image, side: int) -> Image:
    scale = side / max(image.shape[:2])
    return np.asarray(
        cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8
    )


def _show(title: str, rows: dict[str, Any]) -> dict[str, Any]:
    print(title)
    for name, row in rows.items():
        print(f"  {name:14}", json.dumps(row), flush=True)
    return rows


def main() -> None:
    """Measure, print, and write the figures where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="file for the figures")
    parser.add_argument("--lfw", type=int, default=2000, help="LFW pictures, evenly spaced")
    parser.add_argument("--only", nargs="+", default=(), help="names of detectors")
    options = parser.parse_args()
    root = Path(os.environ.get("VULTUS_DATA", _ROOT.parent / "shared" / "data"))
    report = {
        "command": f"OMP_NUM_THREADS=1 python benchmarks/detection.py --lfw {options.lfw}",
        "machine": describe_machine(),
        "threads": THREADS,
        **measure(root, options.lfw, options.only),
    }
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
