"""A job's row as the dialects tell it. Pure."""

from datetime import datetime
from uuid import UUID

from common.dialects.told import ToldFile, ToldJob
from common.links import url_of
from models.files.states import AssetStatus
from models.jobs import words
from models.jobs.reads import JobRow
from models.jobs.states import JobEnd, seen_status


def text_stored(row: JobRow) -> UUID | None:
    """The result of a job that has succeeded with a text. None: it has none, or it is not kept any more."""
    if row.ended != JobEnd.SUCCEEDED or row.kind != "text":
        return None
    return next((UUID(asset["id"]) for asset in row.assets if asset["status"] == AssetStatus.STORED), None)


def told_job(row: JobRow, text: str | None = None) -> ToldJob:
    """A job as every dialect sees it. Results that are not stored any more are not in it."""
    code, message = words.failure(row.error_code, row.error_message) if row.error_code else (None, None)
    stored = [asset for asset in row.assets if asset["status"] == AssetStatus.STORED]
    return ToldJob(
        id=row.id, model=row.model_id, version=row.model_version, kind=row.kind,
        status=seen_status(row.ended, row.run_status).value, input=row.input,
        files=[
            ToldFile(
                url=url_of(UUID(asset["id"])),
                thumbnail_url=url_of(UUID(asset["id"]), thumbnail=True) if asset["thumbnail"] else None,
                media_type=asset["media_type"], size_bytes=asset["size_bytes"], width=asset["width"],
                height=asset["height"],
                duration_seconds=asset["duration_ms"] / 1000 if asset["duration_ms"] is not None else None,
                expires_at=datetime.fromisoformat(asset["expires_at"]) if asset["expires_at"] else None,
            )
            for asset in stored
        ],
        text=text, error_code=code, error_message=message, created_at=row.created_at, started_at=row.started_at,
        ended_at=row.ended_at, progress=100 if row.ended == JobEnd.SUCCEEDED else row.progress, position=row.ahead,
        reason=words.waiting(row.reason) if row.reason else None,
        credits=row.charged_credits, outputs=row.outputs,
    )  # fmt: skip
