"""Whether the service lives, is ready, and what it computes with."""

from __future__ import annotations

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST

from vultus import __version__, runtime
from vultus.service.routes.common import ANY, Reader, ServiceIn, failures
from vultus.service.schemas import Health, ModelsOut, Ready, WeightOut

router = APIRouter(tags=["system"])


@router.get("/v1/health")
async def health() -> Health:
    """Say that the process is alive. Needs no key."""
    return Health(status="ok")


@router.get("/v1/ready", responses={503: {"model": Ready, "description": "Not ready."}})
async def ready(service: ServiceIn, response: Response) -> Ready:
    """Say whether requests will be answered. Needs no key."""
    galleries = await service.in_thread(service.galleries.usable)
    answer = Ready(ready=service.ready and galleries, networks=service.ready, galleries=galleries)
    response.status_code = 200 if answer.ready else 503
    return answer


@router.get("/v1/models", responses=failures(*ANY))
async def models(service: ServiceIn, caller: Reader) -> ModelsOut:
    """Return the networks in use, their licences, and the embedding space."""
    analyzer, known = service.analyzer, runtime.manifest()
    used = [*analyzer.detector.weights, analyzer.embedder.space.partition("@")[0]]
    return ModelsOut(
        version=__version__,
        detector=analyzer.detector.name,
        space=analyzer.embedder.space,
        dim=analyzer.embedder.dim,
        calibrated_on=service.calibration.data if service.calibration else None,
        weights=[
            WeightOut(
                id=w.id, task=w.task, licence=w.licence, commercial=w.commercial, sha256=w.sha256
            )
            for w in (known[name] for name in used if name in known)
        ],
    )


@router.get("/metrics", response_class=Response, responses=failures(*ANY))
async def metrics(service: ServiceIn, caller: Reader) -> Response:
    """Return counters and timings in the text format of Prometheus."""
    service.metrics.queue.set(service.batcher.depth)
    return Response(service.metrics.text(), media_type=CONTENT_TYPE_LATEST)
