"""The application: routers, middleware, the answers to failures."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException as StarletteHTTPException

from vultus import __version__
from vultus.analysis import Analyzer
from vultus.errors import VultusError
from vultus.service import pages
from vultus.service.core import Service
from vultus.service.description import describe
from vultus.service.errors import on_http_error, on_validation_error, on_vultus_error
from vultus.service.metrics import Metrics
from vultus.service.middleware import Envelope
from vultus.service.routes import compreface, faces, galleries, jobs, pictures, system
from vultus.service.settings import Settings

_ROUTERS: tuple[APIRouter, ...] = (
    system.router,
    pictures.router,
    galleries.router,
    faces.router,
    jobs.router,
)


def create_app(settings: Settings, *, analyzer: Analyzer | None = None) -> FastAPI:
    """Return the ASGI application of the service.

    Networks are loaded before this returns, so that an application that starts can answer.

    Parameters
    ----------
    settings
        Where galleries lie, who may do what, and the limits.
    analyzer
        Ready-made; its own limits on pictures and faces then hold.

    Raises
    ------
    ConfigError
        If a folder or file of the settings cannot be used, or the address asks for API keys.
    GalleryError
        If there is no key for the galleries.
    WeightsError
        If a network cannot be loaded.
    """
    metrics = Metrics()
    service = Service(settings, analyzer, metrics)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.start()
        try:
            yield
        finally:
            await service.close()

    app = FastAPI(
        title="Vultus",
        version=__version__,
        summary="Find, compare, enrol, identify and group faces.",
        description="Every failure has one shape; see the schema Failure. Pictures come as bytes, "
        "never as an address or a path.",
        lifespan=lifespan,
        openapi_url="/v1/openapi.json",
        # The pages would load their scripts from another site.
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        exception_handlers={
            StarletteHTTPException: pages.dressed(on_http_error),
            RequestValidationError: pages.dressed(on_validation_error),
            VultusError: pages.dressed(on_vultus_error),
        },
    )
    app.state.service = service
    for router in _ROUTERS:
        app.include_router(router)
    if settings.compreface_gallery is not None:
        app.include_router(compreface.router_for(settings.compreface_gallery))
    describe(app)
    pages.mount(app)
    app.add_middleware(Envelope, settings=settings, metrics=metrics, dress=pages.dress)
    return app
