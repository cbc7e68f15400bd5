"""What clients read: rows turned into JSON-ready dictionaries. Pure, and the one place that decides what is shown."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from common.links import url_of
from models.catalogue.entries import Offer
from models.catalogue.plans import Plan
from models.files.states import AssetStatus
from models.files.uploads import Found, id_text
from models.jobs import words
from models.jobs.reads import JobRow
from models.jobs.states import JobEnd, JobStatus, RunStatus


def status_of(row: JobRow) -> JobStatus:
    """A job's status as clients know it; `reconciling` is running, with the reason."""
    if row.ended:
        return JobStatus(row.ended)
    return JobStatus.QUEUED if row.run_status == RunStatus.QUEUED else JobStatus.RUNNING


def job_view(row: JobRow) -> dict[str, Any]:
    """A job, as GET /v1/jobs/{id} answers."""
    return {
        "id": row.id,
        "status": status_of(row),
        "model": row.model_id,
        "input": row.input,
        "queue": row.queue,
        "retry_of": row.retry_of,
        "credits": {"reserved": row.price_credits, "charged": row.charged_credits},
        "progress": 100 if row.ended == JobEnd.SUCCEEDED else row.progress,
        "waiting": _waiting(row),
        "cancel_requested": row.cancel_requested,
        "attempts": row.attempts,
        "error": _error(row),
        "outputs": [_output(asset) for asset in row.assets],
        "created_at": row.created_at,
        "started_at": row.started_at,
        "ended_at": row.ended_at,
    }


def _error(row: JobRow) -> dict[str, Any] | None:
    if row.error_code is None:
        return None
    code, message = words.failure(row.error_code, row.error_message)  # rows of before hold what the provider said
    return {"code": code, "message": message}


def _waiting(row: JobRow) -> dict[str, Any] | None:
    """Where a job stands, why it waits, and how long that may take."""
    if row.ended:
        return None
    if row.run_status != RunStatus.QUEUED:
        return {"position": None, "reason": words.waiting(row.reason), "estimate_seconds": None} if row.reason else None
    if row.dispatched:
        return {"position": 0, "reason": "waiting for a worker", "estimate_seconds": row.typical_seconds}
    if row.wake_at is not None:
        pause = max(0, round((row.wake_at - datetime.now(UTC)).total_seconds()))
        return {
            "position": row.ahead,
            "reason": f"retrying: {words.waiting(row.reason)}" if row.reason else "retrying",
            "estimate_seconds": pause + row.typical_seconds,
        }
    ahead = row.ahead or 0
    return {
        "position": ahead + 1 if row.ahead is not None else None,
        "reason": f"{row.slots_in_use} of the account's {row.slots} slots are in use",
        "estimate_seconds": (ahead // row.slots + 2) * row.typical_seconds,
    }


def _output(asset: dict[str, Any]) -> dict[str, Any]:
    asset_id = UUID(asset["id"])
    stored = asset["status"] == AssetStatus.STORED
    return {
        "id": asset_id,
        "url": url_of(asset_id),
        "thumbnail_url": url_of(asset_id, thumbnail=True) if asset["thumbnail"] and stored else None,
        "media_type": asset["media_type"],
        "size_bytes": asset["size_bytes"],
        "sha256": asset["sha256"],
        "width": asset["width"],
        "height": asset["height"],
        "duration_seconds": asset["duration_ms"] / 1000 if asset["duration_ms"] is not None else None,
        "status": asset["status"],
        "expires_at": asset["expires_at"],
    }


def upload_view(row: Found) -> dict[str, Any]:
    """An uploaded file, as GET /v1/files/{id} answers."""
    return {
        "id": id_text(row.id),
        "object": "file",
        "media_type": row.media_type,
        "size_bytes": row.size_bytes,
        "sha256": row.sha256.hex(),
        "width": row.width,
        "height": row.height,
        "duration_seconds": row.duration_ms / 1000 if row.duration_ms is not None else None,
        "url": url_of(row.id),
        "created_at": row.created_at,
        "expires_at": row.expires_at,
    }


def model_view(offer: Offer) -> dict[str, Any]:
    """A model, as GET /v1/models answers; routes and options are the operator's own business."""
    entry = offer.entry
    return {
        "id": entry.id,
        "version": offer.version,
        "name": entry.name,
        "description": entry.description,
        "kind": entry.kind,
        "price": entry.price.model_dump(exclude_none=True),
        "input_schema": entry.input_schema,
        "timeout_seconds": entry.timeout_seconds,
        "typical_seconds": entry.typical_seconds,
    }


def plan_view(plan: Plan) -> dict[str, Any]:
    """A plan, as GET /v1/plans answers."""
    return plan.model_dump(exclude={"position"})
