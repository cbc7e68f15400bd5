"""What is shown of a job, however it is asked for: its row as plain values. Pure, and the one place that decides it."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from common.links import url_of
from models.files.states import AssetStatus
from models.jobs import words
from models.jobs.reads import JobRow
from models.jobs.states import JobEnd, JobStatus, RunStatus, seen_status


def status_of(row: JobRow) -> JobStatus:
    """A job's status as clients know it."""
    return seen_status(row.ended, row.run_status)


def job_view(row: JobRow) -> dict[str, Any]:
    """A job, as GET /v1/jobs/{id} answers."""
    return {
        "id": row.id,
        "status": status_of(row),
        "model": row.model_id,
        "input": row.input,
        "input_erased_at": row.input_erased_at,
        "queue": row.queue,
        "retry_of": row.retry_of,
        "labels": row.labels or {},
        "credits": {"reserved": row.price_credits, "charged": row.charged_credits},
        "progress": 100 if row.ended == JobEnd.SUCCEEDED else row.progress,
        "waiting": waiting_view(row),
        "cancel_requested": row.cancel_requested,
        "attempts": row.attempts,
        "error": error_view(row.error_code, row.error_message),
        "outputs": [output_view(asset) for asset in row.assets],
        "created_at": row.created_at,
        "started_at": row.started_at,
        "ended_at": row.ended_at,
    }


def error_view(code: str | None, message: str | None) -> dict[str, Any] | None:
    """Why a job failed, as its client reads it."""
    if code is None:
        return None
    code, message = words.failure(code, message)  # rows of before hold what the provider said
    return {"code": code, "message": message}


def waiting_view(row: JobRow) -> dict[str, Any] | None:
    """Where a job stands, why it waits, and how long that may take."""
    if row.ended:
        return None
    if row.run_status != RunStatus.QUEUED:
        return {"position": None, "reason": words.waiting(row.reason), "estimate_seconds": None} if row.reason else None
    if row.paused is not None:
        position = None if row.dispatched or row.ahead is None else row.ahead + (row.wake_at is None)
        return {"position": position, "reason": words.PAUSED[row.paused], "estimate_seconds": None}
    if row.dispatched:
        return {"position": 0, "reason": "waiting for a worker", "estimate_seconds": row.typical_seconds}
    if row.later:
        return {"position": None, "reason": "its batch has as many jobs under way as it may", "estimate_seconds": None}
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


def output_view(asset: dict[str, Any]) -> dict[str, Any]:
    """A stored result, as a job shows it."""
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
        "kept": asset["kept"],
        "expires_at": asset["expires_at"],
    }
