"""The weight store: every file verified, fetched on demand, kept in one folder.

Each file is hashed whole every time that it is resolved. That costs about 0.7 ms per megabyte, a
tenth of what building a network from the same bytes takes, and unlike a memo of size and time it
cannot be wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Literal

from vultus.errors import WeightsError
from vultus.places import default_home
from vultus.runtime import cache, sources
from vultus.runtime.converters import Converter, converter
from vultus.runtime.download import download
from vultus.runtime.manifest import DistributionMember, Download, PackagedFile, Weight, manifest
from vultus.runtime.sources import Progress

Status = Literal["ok", "absent", "damaged"]


class Store:
    """Weight files of one manifest in one folder. Safe to use from many threads and processes.

    Parameters
    ----------
    home
        Cache folder; by default ``VULTUS_HOME`` or the user's cache folder.
    weights
        Entries by id; by default the package's manifest.
    offline
        Never touch the network; by default ``VULTUS_OFFLINE``.
    allow_licenses
        Licences to accept besides those that allow commercial use, or ``all``; added to
        ``VULTUS_ALLOW_LICENSES``.
    """

    def __init__(
        self,
        home: Path | None = None,
        *,
        weights: Mapping[str, Weight] | None = None,
        offline: bool | None = None,
        allow_licenses: Iterable[str] | None = None,
    ) -> None:
        self.home = default_home() if home is None else Path(home)
        self.weights = manifest() if weights is None else weights
        self.offline = cache.default_offline() if offline is None else offline
        if isinstance(allow_licenses, str):
            allow_licenses = (allow_licenses,)
        allowed = cache.default_licences() | frozenset(allow_licenses or ())
        self.allowed = frozenset(name.casefold() for name in allowed)

    def weight(self, weight_id: str) -> Weight:
        """Return an entry; raise :class:`WeightsError` naming the known ids."""
        try:
            return self.weights[weight_id]
        except KeyError:
            raise WeightsError(
                f"unknown weight {weight_id!r}; known: {', '.join(sorted(self.weights))}"
            ) from None

    def path(self, weight_id: str) -> Path:
        """Return where the loadable file is, or would be once fetched."""
        weight = self.weight(weight_id)
        if isinstance(weight.source, PackagedFile) and weight.convert is None:
            return sources.packaged_path(weight.source)
        stem = f"{weight.id}-{weight.digest}"
        if weight.convert is None:
            return self.home / "weights" / f"{stem}{_source_suffix(weight)}"
        convert = converter(weight.convert)
        return self.home / "weights" / f"{stem}-v{convert.version}{convert.suffix}"

    def verify(self, weight_id: str) -> Status:
        """Return ``ok``, ``absent`` or ``damaged`` for the loadable file, hashing all of it."""
        path = self.path(weight_id)
        try:
            expected = self._expected_sha256(weight_id)
            actual = cache.file_sha256(path)
        except FileNotFoundError:
            return "absent" if not path.exists() else "damaged"
        except (OSError, UnicodeDecodeError):
            return "damaged"
        return "ok" if actual == expected else "damaged"

    def resolve(self, weight_id: str) -> Path:
        """Return the loadable file, verified; fetch and convert it first if it is absent.

        Raises
        ------
        WeightsError
            If the id is unknown, the licence is not allowed, the file is damaged, or it is absent
            and cannot be fetched.
        """
        weight = self.weight(weight_id)
        self._check_licence(weight)
        status = self.verify(weight_id)
        if status != "ok":
            # Another process may be at it: look again once it is done.
            with cache.locked(self.home, weight.id):
                status = self.verify(weight_id)
                if status == "absent":
                    self._obtain(weight, None)
        if status == "damaged":
            raise WeightsError(
                f"{self.path(weight_id)} is damaged: it does not have the SHA-256 of "
                f"{weight.id}; run: vultus models get {weight.id}"
            )
        return self.path(weight_id)

    def fetch(self, weight_id: str, progress: Progress | None = None) -> Path:
        """Return the loadable file as :meth:`resolve` does, but replace a damaged one.

        Parameters
        ----------
        weight_id
            Name in the manifest.
        progress
            Called with the number of bytes so far and the total.
        """
        weight = self.weight(weight_id)
        self._check_licence(weight)
        with cache.locked(self.home, weight.id):
            if self.verify(weight_id) != "ok":
                self._obtain(weight, progress)
        return self.path(weight_id)

    def _expected_sha256(self, weight_id: str) -> str:
        weight = self.weight(weight_id)
        if weight.convert is None:
            return weight.sha256
        return _digest_file(self.path(weight_id)).read_text("ascii").split(" ", 1)[0]

    def permits(self, weight_id: str) -> bool:
        """Return whether a weight's licence allows commercial use, or was accepted."""
        weight = self.weight(weight_id)
        return weight.commercial == "yes" or bool(self.allowed & {weight.licence.casefold(), "all"})

    def _check_licence(self, weight: Weight) -> None:
        if self.permits(weight.id):
            return
        raise WeightsError(
            f"{weight.id} has the licence {weight.licence!r} (commercial use: "
            f"{weight.commercial}; see {weight.homepage}). To accept it, pass "
            f"allow_licenses=[{weight.licence!r}] or set VULTUS_ALLOW_LICENSES="
            f"{weight.licence!r}"
        )

    def _obtain(self, weight: Weight, progress: Progress | None) -> None:
        target = self.path(weight.id)
        if isinstance(weight.source, PackagedFile) and weight.convert is None:
            raise WeightsError(f"{target} of {weight.id} is missing or damaged: reinstall vultus")
        with cache.temporary_file(target) as temporary:
            self._source_bytes(weight, temporary, progress)
            if weight.convert is None:
                cache.replace(temporary, target)
            else:
                _convert(weight, converter(weight.convert), temporary, target)

    def _source_bytes(self, weight: Weight, target: Path, progress: Progress | None) -> None:
        """Write the verified source bytes to ``target``."""
        source = weight.source
        try:
            if isinstance(source, PackagedFile):
                _copy_verified(sources.packaged_path(source), weight, target)
                return
            if isinstance(source, DistributionMember):
                installed = sources.installed_path(source)
                if installed and cache.file_sha256(installed) == weight.sha256:
                    _copy_verified(installed, weight, target, progress)
                    return
            self._check_online(weight)
            if isinstance(source, DistributionMember):
                sources.fetch_member(source, target, weight.bytes, progress)
                _check_sha256(target, weight)
            else:
                self._download(source, weight, target, progress)
        except OSError as error:
            raise WeightsError(f"{weight.id}: {error}") from error

    def _download(
        self, source: Download, weight: Weight, target: Path, progress: Progress | None
    ) -> None:
        partial = self.home / "partial" / f"{weight.sha256}.part"
        with cache.writing(partial.parent, weight.id):
            partial.parent.mkdir(parents=True, exist_ok=True)
        download(source.url, partial, weight.bytes, progress)
        try:
            _check_sha256(partial, weight)
            cache.replace(partial, target)
        finally:
            partial.unlink(missing_ok=True)

    def _check_online(self, weight: Weight) -> None:
        if not self.offline:
            return
        hint = ""
        if isinstance(weight.source, DistributionMember):
            hint = f", or: pip install {weight.source.requirement}"
        raise WeightsError(
            f"{weight.id} is not in {self.home} and the network is off (VULTUS_OFFLINE or "
            f"offline=True); with a network run: vultus models get {weight.id}{hint}"
        )


def _source_suffix(weight: Weight) -> str:
    source = weight.source
    if isinstance(source, PackagedFile):
        return PurePosixPath(source.path).suffix
    if isinstance(source, DistributionMember):
        return PurePosixPath(source.member).suffix
    return PurePosixPath(source.url.partition("?")[0]).suffix


def _digest_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _copy_verified(
    path: Path, weight: Weight, target: Path, progress: Progress | None = None
) -> None:
    with path.open("rb") as stream:
        sources.copy_stream(stream, target, weight.bytes, progress)
    _check_sha256(target, weight)


def _check_sha256(path: Path, weight: Weight) -> None:
    actual = cache.file_sha256(path)
    if actual != weight.sha256:
        raise WeightsError(
            f"{weight.id}: the source gave {path.stat().st_size} bytes with SHA-256 {actual}, "
            f"the manifest states {weight.bytes} bytes with {weight.sha256}"
        )


def _convert(weight: Weight, convert: Converter, source: Path, target: Path) -> None:
    with cache.temporary_file(target) as temporary:
        converted = convert(source.read_bytes())
        with cache.writing(target.parent, weight.id):
            temporary.write_bytes(converted)
        line = f"{cache.file_sha256(temporary)} *{target.name}\n"
        # A file without its digest would count as damaged, a digest without its file as absent.
        target.unlink(missing_ok=True)
        cache.write_bytes(_digest_file(target), line.encode("ascii"))
        cache.replace(temporary, target)


def list_weights(task: str | None = None) -> list[Weight]:
    """Return the package's weights, of one task or all, by id."""
    weights = sorted(manifest().values(), key=lambda weight: weight.id)
    return [weight for weight in weights if task in (None, weight.task)]


def path(weight_id: str) -> Path:
    """Return where a weight's loadable file is, or would be once fetched."""
    return Store().path(weight_id)


def verify(weight_id: str) -> Status:
    """Return ``ok``, ``absent`` or ``damaged``; see :meth:`Store.verify`."""
    return Store().verify(weight_id)


def resolve(
    weight_id: str,
    *,
    allow_licenses: Iterable[str] | None = None,
    offline: bool | None = None,
) -> Path:
    """Return a weight's loadable file, verified; see :meth:`Store.resolve`."""
    return Store(offline=offline, allow_licenses=allow_licenses).resolve(weight_id)


def fetch(
    weight_id: str,
    *,
    progress: Progress | None = None,
    allow_licenses: Iterable[str] | None = None,
    offline: bool | None = None,
) -> Path:
    """Fetch a weight, replacing a damaged file; see :meth:`Store.fetch`."""
    return Store(offline=offline, allow_licenses=allow_licenses).fetch(weight_id, progress)
