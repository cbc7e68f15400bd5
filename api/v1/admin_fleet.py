"""/v1/admin: what operators see of queues and worker processes, and what they pause."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import Depends
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from api.auth.keyring import by
from api.routes.callers import needs
from api.routes.fast_routes import answer
from api.routes.prefix_router import PrefixRouter
from api.routes.shapes import Reason, RequestBody
from api.routes.walled import AdminRoute
from models.access.scopes import Caller
from models.db import certain, snapshot, transaction
from models.fleet import processes
from models.jobs import pauses
from models.jobs.pauses import MAX_SECONDS, USUAL_SECONDS
from models.operations.overview import Overview, overview

router = PrefixRouter(prefix="/v1/admin", tags=["admin"], route_class=AdminRoute)


PausedKind = Literal["queue", "model", "provider", "account"]
PausedName = Annotated[
    str, Field(min_length=1, max_length=100, description="Of a queue, model or provider; an account's id.")
]


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


class NewPause(RequestBody):
    """What is held back, for how long, and why."""

    what: PausedKind
    name: PausedName
    seconds: Annotated[int, Field(ge=1, le=MAX_SECONDS, description="How long, at most; it can be ended before.")] = (
        USUAL_SECONDS
    )
    reason: Reason


class PauseEnd(RequestBody):
    """What is held back no longer, and why."""

    what: PausedKind
    name: PausedName
    reason: Reason


class PauseView(BaseModel):
    """A pause. It ends by itself."""

    what: PausedKind
    name: str
    until: datetime
    reason: str
    actor: str
    created_at: datetime


class Pauses(BaseModel):
    """What is paused, the longest first: at most a hundred."""

    pauses: list[PauseView]


class Workers(BaseModel):
    """The worker processes, newest first: at most a thousand."""

    workers: list[WorkerView]


@router.get("/queues", summary="How the queues stand")
def list_queues(_who: Annotated[Caller, Depends(needs("admin"))]) -> Overview:
    """Depth, in flight, waiting, oldest age and throughput per queue, and the twenty accounts with the longest lines."""
    with snapshot() as conn:
        return overview(conn)


@router.get("/workers", response_model=Workers, summary="The worker processes")
def list_workers(_who: Annotated[Caller, Depends(needs("admin"))]) -> Response:
    """Host, process, version, heartbeat, and the jobs that each is at."""
    with transaction() as conn:
        return answer({"workers": processes.workers(conn)})


@router.get("/pauses", response_model=Pauses, summary="What is paused")
def list_pauses(_who: Annotated[Caller, Depends(needs("admin"))]) -> Response:
    """With who has paused it, why, and until when."""
    with transaction() as conn:
        return answer({"pauses": [row._asdict() for row in pauses.list_pauses(conn)]})


@router.post("/pauses", status_code=201, response_model=PauseView, summary="Pause a queue, model, provider or account")
def pause_work(body: NewPause, request: Request, who: Annotated[Caller, Depends(needs("admin"))]) -> Response:
    """Within a second nothing of it is begun; what runs goes on. Its jobs stay queued in their places, say why, and lose no
    attempt. A model with another provider goes there. Again, it changes time and reason.
    """
    with certain() as conn:
        row = pauses.pause(conn, by(who, request), body.what, body.name, body.reason, seconds=body.seconds)
    return answer(row._asdict(), 201)


@router.post("/pauses/resume", response_model=PauseView, summary="End a pause")
def resume_work(body: PauseEnd, request: Request, who: Annotated[Caller, Depends(needs("admin"))]) -> Response:
    """What waited is begun within a few seconds, account by account. Time limits that were running get the time back."""
    with certain() as conn:
        row = pauses.resume(conn, by(who, request), body.what, body.name, body.reason)
    return answer(row._asdict())
