"""Running the service with uvicorn."""

from __future__ import annotations

import ctypes
import logging
import platform

import uvicorn

from vultus.service.app import create_app
from vultus.service.logs import LOGGER, configure_logs
from vultus.service.settings import Settings

#: Seconds that an idle connection is kept.
_KEEP_ALIVE = 15
#: ``M_ARENA_MAX`` of glibc's malloc.h, and the value for it.
_ARENA_MAX, _ARENAS = -8, 2


def run(settings: Settings) -> bool:
    """Serve until a signal to stop; return whether the service came up at all.

    The signals to stop let requests at work finish, at most ``shutdown_seconds`` long.

    Raises
    ------
    VultusError
        As :func:`vultus.service.create_app`, before anything listens.
    """
    configure_logs()
    _keep_memory_together()
    app = create_app(settings)
    if settings.open and not settings.is_loopback and settings.api_keys is None:
        logging.getLogger(LOGGER).warning("everyone on the network may use this service")
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http="h11",
        ws="none",
        # Its own lines would hold paths, and those hold names of people.
        access_log=False,
        log_config=None,
        server_header=False,
        # Behind a proxy the address is the proxy's; a forged header must not say otherwise.
        proxy_headers=False,
        limit_concurrency=settings.limits.connections,
        timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=int(settings.shutdown_seconds),
    )
    server = uvicorn.Server(config)
    server.run()
    return server.started


def _keep_memory_together() -> None:
    """Have all threads share their stores of free memory.

    The C library gives every few threads a store of their own, eight for each core, and Arrow's
    allocator one to every thread. Each store keeps what its threads needed at most: pictures are
    decoded and galleries read by many threads in turn, so the process would grow for hours towards
    the sum of all those peaks.
    """
    import pyarrow as pa

    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).mallopt(_ARENA_MAX, _ARENAS)
    pa.set_memory_pool(pa.system_memory_pool())
