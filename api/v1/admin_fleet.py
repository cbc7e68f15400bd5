"""/v1/admin: what operators see of queues and worker processes."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends
from pydantic import BaseModel
from starlette.responses import Response

from api.routes.callers import needs
from api.routes.fast_routes import answer
from api.routes.walled import AdminRoute
from models.access.scopes import Caller
from models.db import snapshot, transaction
from models.fleet import processes
from models.operations.overview import Overview, overview

router = APIRouter(prefix="/v1/admin", tags=["admin"], route_class=AdminRoute)


class WorkerView(BaseModel):
    """A worker process, by its own word `silent_seconds` ago."""

    id: str
    host: str
    pid: int | None
    version: str | None
    queues: str
    threads: int
    threads_alive: int
    busy: int
    jobs: list[UUID]
    drained_at: datetime | None
    started_at: datetime
    silent_seconds: float


class Workers(BaseModel):
    """The worker processes, newest first: at most a thousand."""

    workers: list[WorkerView]


@router.get("/queues", summary="How the queues stand")
def look_at_queues(_who: Annotated[Caller, Depends(needs("admin"))]) -> Overview:
    """Depth, in flight, waiting, oldest age and throughput per queue, and the twenty accounts with the longest lines."""
    with snapshot() as conn:
        return overview(conn)


@router.get("/workers", response_model=Workers, summary="The worker processes")
def look_at_workers(_who: Annotated[Caller, Depends(needs("admin"))]) -> Response:
    """Host, process, version, heartbeat, and the jobs that each is at."""
    with transaction() as conn:
        return answer({"workers": processes.workers(conn)})
