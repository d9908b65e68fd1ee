"""Pages on pictures: analyse one, compare two."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from typing import Any

from fastapi import APIRouter, Request, Response

from vultus.analysis import SUBJECTS, Subject
from vultus.errors import ImageError
from vultus.images import Limits
from vultus.predictors import EMBEDDING, PREDICTORS, choose
from vultus.runtime import Store
from vultus.service.batching import Task
from vultus.service.comparing import Comparison, compare
from vultus.service.core import Service
from vultus.service.errors import ApiError
from vultus.service.pages import describing, plots
from vultus.service.pages.access import TOKEN, ReaderHere, Visitor, caller_of, checked
from vultus.service.pages.previews import preview
from vultus.service.pages.rendering import page, wants_fragment
from vultus.service.routes.common import upload
from vultus.service.uploads import Upload
from vultus.verbs import DEFAULT_FMR, Threshold, choose_threshold

router = APIRouter(include_in_schema=False)

#: A script of ours asks for the picture in the answer where the browser cannot show it itself.
PREVIEW = "preview"
_PREVIEW_BYTES = 150_000
_FMRS = (0.01, 0.001, 1e-4, 1e-5)


@router.get("/")
async def start(request: Request, visitor: ReaderHere) -> Response:
    """Ask for a picture."""
    return page(request, visitor, "analyze.html", here="analyze", **_offer(()), result=None)


@router.post("/")
async def analyze(request: Request, visitor: ReaderHere) -> Response:
    """Show the faces of a picture and everything that is computed of them."""
    service = visitor.service
    async with upload(request, service, texts=(TOKEN, PREVIEW, "also")) as body:
        checked(request, visitor, body)
        also = body.fields.get("also", [])
        fields = choose(skip=[EMBEDDING], also=also)
        found = await service.analyze_one(body.pictures[0][1], Task(fields=fields))
        shown = await previews(request, service, body)
    return page(
        request,
        visitor,
        "analyze.html",
        here="analyze",
        **_offer(also),
        result=describing.picture(found),
        previews=shown,
    )


@router.get("/compare")
async def ask_two(request: Request, visitor: ReaderHere) -> Response:
    """Ask for two pictures."""
    return page(request, visitor, "compare.html", here="compare", **_choices(visitor), result=None)


@router.post("/compare")
async def compare_two(request: Request, visitor: ReaderHere) -> Response:
    """Show whether two pictures show the same person, and what that rests on."""
    service = visitor.service
    service.spend(caller_of(visitor))
    texts = (TOKEN, PREVIEW, "fmr", "threshold", "subject")
    async with upload(request, service, names=("first", "second"), texts=texts, most=2) as body:
        checked(request, visitor, body)
        pictures = body.only("first", "second")
        subject, limit = subject_of(body), _threshold(service, body)
        done = await compare(service, pictures, limit, subject)
        shown = await previews(request, service, body)
    return page(
        request,
        visitor,
        "compare.html",
        here="compare",
        **_choices(visitor),
        result=_explained(service, done),
        previews=shown,
    )


async def previews(request: Request, service: Service, body: Upload) -> dict[str, str]:
    """Return the pictures of a body by field, for a page that cannot show the visitor's own."""
    if wants_fragment(request) and not body.text(PREVIEW):
        return {}
    most = _PREVIEW_BYTES // len(body.pictures)
    wanted = service.settings.limits
    limits = Limits(max_bytes=wanted.picture_bytes, max_pixels=wanted.pixels)
    shown = {}
    for name, data in body.pictures:
        with suppress(ImageError):
            shown[name] = await service.in_thread(preview, data, limits, most)
    return shown


def subject_of(body: Upload) -> Subject:
    """Return which face of a picture a form means; the largest if it says nothing."""
    text = body.text("subject") or "largest"
    if text not in SUBJECTS:
        raise ApiError(422, "bad_parameter", "choose which face is meant")
    return SUBJECTS[text]


def _offer(also: Collection[str]) -> dict[str, Any]:
    """Return the predictors that run only where they are asked for, and which are.

    Those whose weights have a licence that was not accepted are not offered.
    """
    permits = Store().permits
    optional = [
        entry
        for entry in PREDICTORS.values()
        if not entry.usual and all(permits(weight) for weight in entry.weights)
    ]
    return {"optional": optional, "also": also, "titles": describing.TITLES}


def _threshold(service: Service, body: Upload) -> Threshold:
    texts = {name: (body.text(name) or "").strip() for name in ("fmr", "threshold")}
    try:
        numbers = {name: float(text) if text else None for name, text in texts.items()}
    except ValueError:
        raise ApiError(422, "bad_parameter", "the threshold is not a number") from None
    return choose_threshold(
        service.calibration, fmr=numbers["fmr"] or DEFAULT_FMR, threshold=numbers["threshold"]
    )


def _choices(visitor: Visitor) -> dict[str, Any]:
    calibration = visitor.service.calibration
    rates = [rate for rate in _FMRS if calibration and rate >= calibration.smallest_fmr]
    return {
        "rates": rates,
        "usual": DEFAULT_FMR,
        "data": calibration.data if calibration else None,
    }


def _explained(service: Service, done: Comparison) -> dict[str, Any]:
    calibration, value = service.calibration, done.threshold.value
    shown: dict[str, Any] = {
        "done": done,
        "pictures": {
            name: describing.picture(found)
            for name, found in zip(("first", "second"), done.pictures, strict=True)
        },
        "calibration": calibration,
        "plots": [],
    }
    if calibration:
        shown["plots"] = [
            plots.densities(calibration, done.similarity, value),
            plots.error_rates(calibration, done.similarity, value),
        ]
        shown["higher"] = calibration.fmr_at(done.similarity)
        shown["lower"] = calibration.fnmr_at(done.similarity)
        shown["beyond"] = done.similarity > calibration.thresholds[-1]
    return shown
