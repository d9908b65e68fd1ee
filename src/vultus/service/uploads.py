"""Reading request bodies: pictures alone or in a form, within limits, as the bytes come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from vultus.service.errors import ApiError, overloaded
from vultus.service.settings import UploadLimits

#: Bytes of one text field of a form, and fields in one form beside the pictures.
_FIELD_BYTES = 4096
_FIELDS = 64


class MemoryBudget:
    """Counts the bytes of all bodies that are in memory and refuses what goes beyond."""

    def __init__(self, total: int) -> None:
        self._left = total

    def take(self, count: int) -> None:
        """Reserve bytes; raise :class:`ApiError` 429 if there are not so many."""
        if count > self._left:
            raise overloaded("too many bodies are being read at the moment")
        self._left -= count

    def give_back(self, count: int) -> None:
        """Free what was reserved."""
        self._left += count


@dataclass(slots=True)
class Upload:
    """What came in a body.

    Parameters
    ----------
    pictures
        Name of the form's field and encoded bytes, in order.
    fields
        Texts of the form by name.
    """

    pictures: list[tuple[str, bytes]] = field(default_factory=list)
    fields: dict[str, list[str]] = field(default_factory=dict)
    held: int = 0

    def keep(self) -> int:
        """Take over the reserved memory from the request; return it in bytes."""
        held, self.held = self.held, 0
        return held

    def only(self, *names: str) -> list[bytes]:
        """Return one picture for each name.

        Raises
        ------
        ApiError
            Unless every name came exactly once.
        """
        found = dict(self.pictures)
        if len(self.pictures) != len(names) or set(found) != set(names):
            wanted = " and ".join(f"'{name}'" for name in names)
            raise ApiError(
                422, "bad_parameter", f"wanted one picture in each of the fields {wanted}"
            )
        return [found[name] for name in names]

    def text(self, name: str) -> str | None:
        """Return the last text of a field, or None."""
        values = self.fields.get(name)
        return values[-1] if values else None


@asynccontextmanager
async def read_upload(
    request: Request,
    limits: UploadLimits,
    budget: MemoryBudget,
    *,
    names: Collection[str] = ("file",),
    texts: Collection[str] = (),
    most: int = 1,
) -> AsyncIterator[Upload]:
    """Read a body that is a picture, or a form with pictures; free its memory on leaving.

    Parameters
    ----------
    names
        Fields that hold pictures. A body that is a picture itself counts as the first.
    texts
        Fields that hold text.
    most
        Pictures that may come.

    Raises
    ------
    ApiError
        413 as soon as a limit is passed, before more is read; 408 when the body takes too long;
        415 for any other kind of body; 422 for a form that is damaged, unknown or empty.
    """
    upload = Upload()
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if request.headers.get("content-encoding", "identity") != "identity":
        raise ApiError(415, "unsupported_media_type", "compressed bodies are not read")
    if kind == b"multipart/form-data":
        form = _Form(upload, options.get(b"boundary", b""), limits, names, texts, most)
        feed, finish = form.feed, form.finish
    elif kind.startswith(b"image/") or kind == b"application/octet-stream":
        single = _Single(upload, limits, next(iter(names)))
        feed, finish = single.feed, single.finish
    else:
        raise ApiError(
            415,
            "unsupported_media_type",
            "send a picture (image/..., application/octet-stream) or a form with pictures "
            "(multipart/form-data); addresses are never fetched",
        )
    try:
        await _stream(request, limits, budget, upload, feed)
        finish()
        yield upload
    finally:
        budget.give_back(upload.keep())


async def _stream(
    request: Request,
    limits: UploadLimits,
    budget: MemoryBudget,
    upload: Upload,
    feed: Callable[[bytes], None],
) -> None:
    total = 0
    try:
        async with asyncio.timeout(limits.body_seconds):
            async for chunk in request.stream():
                total += len(chunk)
                if total > limits.request_bytes:
                    raise _too_large("the body", limits.request_bytes)
                budget.take(len(chunk))
                upload.held += len(chunk)
                feed(chunk)
    except TimeoutError:
        raise ApiError(
            408,
            "timeout",
            f"the body did not come within {limits.body_seconds:g} s",
            headers={"Connection": "close"},
        ) from None


class _Single:
    """A body that is one picture."""

    def __init__(self, upload: Upload, limits: UploadLimits, name: str) -> None:
        self._upload, self._most, self._name = upload, limits.picture_bytes, name
        self._data = bytearray()

    def feed(self, chunk: bytes) -> None:
        self._data += chunk
        if len(self._data) > self._most:
            raise _too_large("a picture", self._most)

    def finish(self) -> None:
        if not self._data:
            raise ApiError(422, "bad_parameter", "the body is empty")
        self._upload.pictures.append((self._name, bytes(self._data)))


class _Form:
    """A form, RFC 7578: parts with a known name; pictures are bytes, everything else is text."""

    def __init__(
        self,
        upload: Upload,
        boundary: bytes,
        limits: UploadLimits,
        names: Collection[str],
        texts: Collection[str],
        most: int,
    ) -> None:
        self._upload, self._limits, self._most = upload, limits, most
        self._names, self._texts = names, texts
        self._headers: dict[bytes, bytes] = {}
        self._header: tuple[bytearray, bytearray] = (bytearray(), bytearray())
        self._data = bytearray()
        self._name, self._allowed = "", 0
        self._ended = False
        self._count = 0
        callbacks: Any = {
            "on_part_begin": self._begin,
            "on_header_field": lambda data, a, b: self._header[0].extend(data[a:b]),
            "on_header_value": lambda data, a, b: self._header[1].extend(data[a:b]),
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_end,
            "on_part_data": self._part_data,
            "on_part_end": self._end,
            "on_end": self._all,
        }
        try:
            self._parser = MultipartParser(boundary, callbacks)
        except FormParserError:
            raise _damaged() from None
        if not boundary:
            raise _damaged()

    def feed(self, chunk: bytes) -> None:
        try:
            self._parser.write(chunk)
        except FormParserError:
            raise _damaged() from None

    def finish(self) -> None:
        if not self._ended:
            raise _damaged()
        if not self._upload.pictures:
            raise ApiError(
                422, "bad_parameter", f"the form holds no picture in {sorted(self._names)}"
            )

    def _begin(self) -> None:
        self._headers = {}
        self._data = bytearray()

    def _header_end(self) -> None:
        name, value = self._header
        self._headers[bytes(name).lower()] = bytes(value)
        self._header = (bytearray(), bytearray())

    def _headers_end(self) -> None:
        kind, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        self._name = options.get(b"name", b"").decode("utf-8", "replace")
        if kind != b"form-data" or self._name not in {*self._names, *self._texts}:
            known = ", ".join(sorted({*self._names, *self._texts}))
            raise ApiError(422, "bad_parameter", f"the form has a field that is none of: {known}")
        self._count += 1
        if self._name in self._names:
            if len(self._upload.pictures) >= self._most:
                raise ApiError(
                    413, "too_large", f"more than {self._most} pictures", {"pictures": self._most}
                )
            self._allowed = self._limits.picture_bytes
        else:
            self._allowed = _FIELD_BYTES
            if self._count - len(self._upload.pictures) > _FIELDS:
                raise ApiError(413, "too_large", f"more than {_FIELDS} fields")

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        self._data += data[start:end]
        if len(self._data) > self._allowed:
            what = "a picture" if self._name in self._names else f"field '{self._name}'"
            raise _too_large(what, self._allowed)

    def _end(self) -> None:
        if self._name in self._names:
            self._upload.pictures.append((self._name, bytes(self._data)))
        else:
            try:
                text = self._data.decode("utf-8")
            except UnicodeDecodeError:
                raise ApiError(
                    422, "bad_parameter", f"field '{self._name}' is not text in UTF-8"
                ) from None
            self._upload.fields.setdefault(self._name, []).append(text)
        self._data = bytearray()

    def _all(self) -> None:
        self._ended = True


def _too_large(what: str, limit: int) -> ApiError:
    return ApiError(
        413,
        "too_large",
        f"{what} may have at most {limit:,} bytes",
        {"bytes": limit},
        {"Connection": "close"},
    )


def _damaged() -> ApiError:
    return ApiError(422, "bad_parameter", "the form is damaged or ends too early")
