"""Typed settings of the service, in Python or in a TOML file."""

from __future__ import annotations

import ipaddress
import tomllib
from dataclasses import field
from pathlib import Path
from typing import Any

from vultus.errors import ConfigError
from vultus.quality.gate import MIN_QUALITY, checked
from vultus.settings import read_settings, settings


@settings
class UploadLimits:
    """What requests may cost; all of it is checked before the cost arises.

    Parameters
    ----------
    picture_bytes
        Size of one encoded picture.
    request_bytes
        Size of one request's body.
    json_bytes
        Size of a JSON body.
    held_bytes
        Bodies of all requests and jobs that are in memory at one time.
    pixels
        Width times height of one picture.
    pictures
        Pictures in one request.
    job_pictures
        Pictures in one clustering job.
    faces
        Faces kept of one picture, the best ones.
    body_seconds
        Time in which a body must have come.
    concurrent
        Requests at work at one time.
    connections
        Open connections; beyond it the server answers 503 before reading anything.
    """

    picture_bytes: int = 10 * 2**20
    request_bytes: int = 40 * 2**20
    json_bytes: int = 64 * 2**10
    held_bytes: int = 256 * 2**20
    pixels: int = 24_000_000
    pictures: int = 16
    job_pictures: int = 256
    faces: int = 64
    body_seconds: float = 30.0
    concurrent: int = 128
    connections: int = 1024

    def __post_init__(self) -> None:
        _require_positive(self)


@settings
class Batching:
    """How requests share calls of the networks.

    Parameters
    ----------
    max_batch
        Pictures in one call.
    max_wait_ms
        How long the first picture after a pause waits for others.
    queue
        Pictures that may wait; beyond it requests are answered 429.
    workers
        Batches at work at one time.
    threads
        Threads of one network; None lets the runtime choose.
    """

    max_batch: int = 16
    max_wait_ms: float = 4.0
    queue: int = 64
    workers: int = 1
    threads: int | None = None

    def __post_init__(self) -> None:
        _require_positive(self, but=("max_wait_ms", "threads"))
        if self.max_wait_ms < 0:
            raise ConfigError(f"batching.max_wait_ms must not be negative, got {self.max_wait_ms}")


@settings
class Rates:
    """Token buckets of verification and identification, per key: against probing by scores.

    Parameters
    ----------
    per_minute
        Pictures compared per minute in the long run; 0 switches the limit off.
    burst
        Pictures compared at once after a pause.
    failures_per_minute
        Unknown or wrong keys that one address may present per minute.
    """

    per_minute: float = 120.0
    burst: int = 60
    failures_per_minute: float = 60.0

    def __post_init__(self) -> None:
        if self.per_minute < 0 or self.burst < 1 or self.failures_per_minute <= 0:
            raise ConfigError("rates: per_minute >= 0, burst >= 1, failures_per_minute > 0")


@settings
class Jobs:
    """Bounds of the jobs that run behind the requests.

    Parameters
    ----------
    waiting
        Jobs that may wait; beyond it requests are answered 429.
    kept
        Finished jobs whose results are kept.
    seconds_kept
        How long a result is kept.
    """

    waiting: int = 4
    kept: int = 16
    seconds_kept: float = 600.0

    def __post_init__(self) -> None:
        _require_positive(self)


@settings
class Settings:
    """Everything that the service can be told.

    Parameters
    ----------
    galleries
        Folder of the galleries, one folder each.
    gallery_key
        File with the key of the galleries; None reads the variable ``VULTUS_KEY``.
    api_keys
        File of API keys made by ``vultus serve keys add``. Where it is named, every request but
        the health checks needs a key.
    audit_log
        File to which enrolments, searches and deletions are appended; None writes none.
    host, port
        Where it listens.
    open
        Allow an address beyond the loopback interface without any API key.
    allowed_hosts
        Names that the ``Host`` header may have. Empty: on the loopback interface its own names,
        elsewhere any.
    provider
        Where networks run: ``cpu``, ``cuda``, ``openvino``.
    recognizer
        Recognition network of the manifest; the default one if not given. Galleries made with
        another are refused.
    calibration
        Thresholds measured by ``vultus calibrate`` instead of the packaged ones.
    min_quality
        Faces of a lower overall quality are neither enrolled nor searched for; 0 takes all.
    evaluations
        Folder with reports of ``vultus evaluate --out``, one folder each, for the pages to show.
    compreface_gallery
        Gallery that the CompreFace-compatible routes work on; None leaves those routes out.
    lock_seconds
        How long a write waits for another process that writes to the same gallery.
    shutdown_seconds
        How long requests at work may take to finish after the signal to stop.
    """

    galleries: Path
    gallery_key: Path | None = None
    api_keys: Path | None = None
    audit_log: Path | None = None
    host: str = "127.0.0.1"
    port: int = 8080
    open: bool = False
    allowed_hosts: tuple[str, ...] = ()
    provider: str = "cpu"
    recognizer: str | None = None
    calibration: Path | None = None
    min_quality: float = MIN_QUALITY
    evaluations: Path | None = None
    compreface_gallery: str | None = None
    lock_seconds: float = 20.0
    shutdown_seconds: float = 30.0
    limits: UploadLimits = field(default_factory=UploadLimits)
    batching: Batching = field(default_factory=Batching)
    rates: Rates = field(default_factory=Rates)
    jobs: Jobs = field(default_factory=Jobs)

    def __post_init__(self) -> None:
        checked(self.min_quality)
        if not 0 <= self.port <= 65535:
            raise ConfigError(f"port must be 0 to 65535, got {self.port}")
        if self.batching.queue < max(2, self.batching.max_batch):
            raise ConfigError("batching.queue must hold at least one batch and two pictures")

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the address."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def read_service_settings(file: Path | None, **changes: Any) -> Settings:
    """Return the settings of a TOML file, with some of them replaced.

    Parameters
    ----------
    file
        None starts from the defaults.
    changes
        Settings by name that replace the file's; None leaves the file's.

    Raises
    ------
    ConfigError
        Naming the file and every key that is unknown or of a wrong type.
    """
    values: dict[str, Any] = {}
    if file is not None:
        try:
            values = tomllib.loads(file.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise ConfigError(f"{file}: cannot be read as TOML: {error}") from error
    given = {
        name: str(value) if isinstance(value, Path) else value
        for name, value in changes.items()
        if value is not None
    }
    return read_settings(Settings, values | given, str(file or "command line"))


def _require_positive(group: Any, but: tuple[str, ...] = ()) -> None:
    for name, value in vars(group).items():
        if name not in but and value <= 0:
            raise ConfigError(f"{type(group).__name__.lower()}.{name} must be positive")
