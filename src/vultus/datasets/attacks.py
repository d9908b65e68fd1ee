"""Presentation attack sets with published protocols: OULU-NPU and Replay-Attack.

A record is a video, read with :func:`vultus.datasets.videos.frames`; its identity is the person
shown. The label ``species`` is ``bona-fide`` or names the attack, as :mod:`vultus.measure.pad`
takes it. Splits are ``train``, ``dev`` and ``test``: thresholds belong to ``dev``.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

from vultus.datasets.layout import folder, lines, unexpected
from vultus.datasets.records import Dataset, Record
from vultus.datasets.videos import SUFFIXES
from vultus.errors import ConfigError, DatasetError

BONA_FIDE = "bona-fide"

#: OULU-NPU: phone, session, person, and file: living; two printers; two displays.
_OULU = re.compile(r"([1-6])_([1-3])_(\d{2})_([1-5])", re.ASCII)
_OULU_SPECIES = {1: BONA_FIDE, 2: "print", 3: "print", 4: "replay", 5: "replay"}
_OULU_CODES = {"+1": BONA_FIDE, "1": BONA_FIDE, "-1": "print", "-2": "replay"}
_OULU_PARTS = {"train": "Train", "dev": "Dev", "test": "Test"}
#: Folds of the protocols that leave out one phone in turn.
_OULU_FOLDS = {1: (), 2: (), 3: (1, 2, 3, 4, 5, 6), 4: (1, 2, 3, 4, 5, 6)}

_REAL = re.compile(r"client(\d{3})_session(\d{2})_webcam_authenticate_(\w+)_(\d)", re.ASCII)
_ATTACK = re.compile(
    r"attack_(print|mobile|highdef)_client(\d{3})_session(\d{2})_(mobile|highdef)_(photo|video)_(\w+)",
    re.ASCII,
)
_REPLAY_PARTS = {"train": "train", "devel": "dev", "test": "test"}

ReplayProtocol = Literal[
    "grandtest", "print", "mobile", "highdef", "photo", "digitalphoto", "video"
]
#: Which attacks each protocol of Replay-Attack holds: devices, and media.
REPLAY_PROTOCOLS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "grandtest": (("print", "mobile", "highdef"), ("photo", "video")),
    "print": (("print",), ("photo",)),
    "mobile": (("mobile",), ("photo", "video")),
    "highdef": (("highdef",), ("photo", "video")),
    "photo": (("print", "mobile", "highdef"), ("photo",)),
    "digitalphoto": (("mobile", "highdef"), ("photo",)),
    "video": (("mobile", "highdef"), ("video",)),
}


def read_oulu(root: Path | str, protocol: int = 1, fold: int | None = None) -> Dataset:
    """List the videos of a protocol of OULU-NPU (Boulkenafet et al., 2017).

    Layout: ``Train_files/``, ``Dev_files/`` and ``Test_files/`` with ``1_1_01_1.avi``, and
    ``Protocols/Protocol_1/Train.txt`` with ``+1,1_1_01_1`` a line (+1 living, -1 print, -2
    replay). Protocol 1 tests on another session, 2 on other printers and displays, 3 on another
    phone, 4 on all of them at once.

    Labels: ``species``, ``phone`` 1 to 6, ``session`` 1 to 3, ``instrument`` 1 or 2 for the two
    printers and displays, 0 for the living.

    Parameters
    ----------
    root
        The folder.
    protocol
        1 to 4.
    fold
        Phone that protocols 3 and 4 leave out, 1 to 6; None for the others.

    Raises
    ------
    ConfigError
        If there is no such protocol or fold.
    DatasetError
        If a list or a video is missing, or a line is damaged.
    """
    if protocol not in _OULU_FOLDS:
        raise ConfigError(f"OULU-NPU has the protocols {sorted(_OULU_FOLDS)}, got {protocol!r}")
    folds = _OULU_FOLDS[protocol]
    if fold not in (folds or (None,)):
        wanted = f"a fold of {list(folds)}" if folds else "no fold"
        raise ConfigError(f"protocol {protocol} of OULU-NPU takes {wanted}, got {fold!r}")
    expected = "Train_files/, Dev_files/, Test_files/ and Protocols/Protocol_1/Train.txt"
    base = folder(root, expected)
    lists = base / "Protocols" / f"Protocol_{protocol}"
    if not lists.is_dir():
        raise unexpected(base, expected)
    records = []
    for split, part in _OULU_PARTS.items():
        path = lists / (f"{part}_{fold}.txt" if fold else f"{part}.txt")
        videos = _by_stem(base / f"{part}_files")
        for number, line in enumerate(lines(path, "+1,1_1_01_1 a line"), 1):
            records.append(_oulu_record(f"{path}, line {number}", line, videos, split, part))
    if not records:
        raise DatasetError(f"{lists}: the lists are empty")
    return Dataset(f"oulu-npu-{protocol}", base, tuple(records))


def _oulu_record(where: str, line: str, videos: dict[str, Path], split: str, part: str) -> Record:
    code, _, name = (text.strip() for text in line.partition(","))
    match = _OULU.fullmatch(name)
    if match is None or code not in _OULU_CODES:
        raise DatasetError(f"{where}: expected +1,1_1_01_1 (or -1, -2), got {line!r}")
    phone, session, file = int(match[1]), int(match[2]), int(match[4])
    if _OULU_CODES[code] != _OULU_SPECIES[file]:
        raise DatasetError(
            f"{where}: {name} is {_OULU_SPECIES[file]} by its name, {_OULU_CODES[code]} by its mark"
        )
    if name not in videos:
        raise DatasetError(f"{where}: there is no video {part}_files/{name}.avi")
    labels = {
        "species": _OULU_SPECIES[file],
        "phone": phone,
        "session": session,
        "instrument": 0 if file == 1 else 1 + file % 2,
    }
    return Record(videos[name], match[3], split, labels)


def read_replay_attack(
    root: Path | str,
    protocol: ReplayProtocol = "grandtest",
    *,
    support: Literal["fixed", "hand"] | None = None,
) -> Dataset:
    """List the videos of a protocol of Replay-Attack (Chingovska et al., 2012).

    Layout: ``train/``, ``devel/`` and ``test/`` with ``real/client001_session01_webcam_
    authenticate_adverse_1.mov`` and ``attack/fixed/attack_print_client001_session01_highdef_photo_
    adverse.mov`` (and ``hand/``). ``enroll/`` is no part of any protocol. Every protocol has all
    real accesses.

    Labels: ``species`` of ``bona-fide``, ``print``, ``mobile-photo``, ``mobile-video``,
    ``highdef-photo``, ``highdef-video``; ``session``; ``condition`` ``controlled`` or ``adverse``;
    ``support`` ``fixed`` or ``hand``, None for real accesses.

    Parameters
    ----------
    root
        The folder.
    protocol
        Key of :data:`REPLAY_PROTOCOLS`.
    support
        Attacks on a fixed support or held by hand alone; both if not given.

    Raises
    ------
    ConfigError
        If there is no such protocol or support.
    DatasetError
        If there are no videos, or one has another name.
    """
    if protocol not in REPLAY_PROTOCOLS:
        raise ConfigError(
            f"Replay-Attack has the protocols {list(REPLAY_PROTOCOLS)}, got {protocol!r}"
        )
    if support not in (None, "fixed", "hand"):
        raise ConfigError(f"support is fixed, hand or None, got {support!r}")
    devices, media = REPLAY_PROTOCOLS[protocol]
    expected = "train/real/*.mov, train/attack/fixed/*.mov, and the same in devel/ and test/"
    base = folder(root, expected)
    records = []
    for part, split in _REPLAY_PARTS.items():
        records += [_real_access(path, split) for path in _videos(base / part / "real")]
        for held in ("fixed", "hand"):
            if support not in (None, held):
                continue
            for path in _videos(base / part / "attack" / held):
                device, medium, record = _attack(path, split, held)
                if device in devices and medium in media:
                    records.append(record)
    kinds = {record.labels["species"] == BONA_FIDE for record in records}
    if kinds != {True, False}:
        raise unexpected(base, expected)
    return Dataset(f"replay-attack-{protocol}", base, tuple(records))


def _real_access(path: Path, split: str) -> Record:
    match = _REAL.fullmatch(path.stem)
    if match is None:
        raise DatasetError(
            f"{path}: expected client001_session01_webcam_authenticate_adverse_1.mov"
        )
    labels: dict[str, Any] = {
        "species": BONA_FIDE,
        "session": int(match[2]),
        "condition": match[3],
        "support": None,
    }
    return Record(path, match[1], split, labels)


def _attack(path: Path, split: str, held: str) -> tuple[str, str, Record]:
    match = _ATTACK.fullmatch(path.stem)
    if match is None:
        raise DatasetError(
            f"{path}: expected attack_print_client001_session01_highdef_photo_adverse.mov"
        )
    device, medium = match[1], match[5]
    labels = {
        "species": "print" if device == "print" else f"{device}-{medium}",
        "session": int(match[3]),
        "condition": match[6],
        "support": held,
    }
    return device, medium, Record(path, match[2], split, labels)


def _videos(place: Path) -> list[Path]:
    if not place.is_dir():
        return []
    return sorted(
        p for p in place.iterdir() if p.suffix.lower() in SUFFIXES and not p.name.startswith(".")
    )


def _by_stem(place: Path) -> dict[str, Path]:
    return {path.stem: path for path in _videos(place)}
