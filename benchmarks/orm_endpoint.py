"""The peer of our read: the same answer from an ordinary FastAPI endpoint with an SQLModel session and a response model."""

import gc
import sys
from typing import Annotated, Any
from uuid import UUID

import uvicorn
from fastapi import Depends, FastAPI, Header, HTTPException
from sqlmodel import Session, select

from api.v1 import jobs_shapes
from common.links import url_of
from models.access import api_keys
from models.access.api_keys import ApiKey
from models.accounts.accounts import Account
from models.catalogue.plans import Plan
from models.db import engine
from models.jobs.tables import Asset, Job, JobRun

app = FastAPI()
_known: dict[bytes, UUID] = {}


def database() -> Any:
    with Session(engine()) as session:
        yield session


def who(session: Annotated[Session, Depends(database)], authorization: Annotated[str, Header()]) -> UUID:
    hashed = api_keys.hash_of(authorization.removeprefix("Bearer "))
    if hashed not in _known:
        _known[hashed] = session.exec(select(ApiKey).where(ApiKey.hash == hashed)).one().account_id
    return _known[hashed]


@app.get("/healthz")
def alive() -> dict[str, str]:
    return {"status": "ok"}


@app.get("/v1/jobs/{job_id}", response_model=jobs_shapes.JobView)
def get_job(
    job_id: UUID, session: Annotated[Session, Depends(database)], account_id: Annotated[UUID, Depends(who)]
) -> Any:
    job = session.get(Job, job_id)
    if job is None or job.account_id != account_id:
        raise HTTPException(404)
    run = session.get(JobRun, job_id)
    account = session.get_one(Account, job.account_id)
    plan = session.get_one(Plan, account.plan_id)
    assets = session.exec(select(Asset).where(Asset.job_id == job_id)).all() if job.ended == "succeeded" else []
    return {
        "id": job.id, "status": job.ended or (run.status if run else "queued"), "model": job.model_id, "input": job.input,
        "queue": job.queue, "retry_of": job.retry_of, "credits": {"reserved": job.price_credits, "charged": job.charged_credits},
        "progress": run.progress if run else None,
        "waiting": {"position": 0, "reason": f"{plan.slots} slots", "estimate_seconds": 1} if run else None,
        "cancel_requested": False, "attempts": job.attempts or (run.attempts if run else 0), "error": None,
        "outputs": [
            {
                "id": a.id, "url": url_of(a.id), "thumbnail_url": None, "media_type": a.media_type, "size_bytes": a.size_bytes,
                "sha256": a.sha256.hex(), "width": a.width, "height": a.height, "duration_seconds": None, "status": a.status,
                "expires_at": a.expires_at,
            }
            for a in assets
        ],
        "created_at": job.created_at, "started_at": job.started_at, "ended_at": job.ended_at,
    }  # fmt: skip


if __name__ == "__main__":
    gc.freeze()
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), loop="uvloop", http="httptools", log_level="warning")
