"""Jobs and their results as resources of agents."""

import base64
from functools import partial
from typing import Any
from uuid import UUID

import orjson
from mcp_types import (
    BlobResourceContents,
    ReadResourceResult,
    Resource,
    ResourceTemplate,
    TextResourceContents,
)

from api.dialects.mcp.tools import Context, who_asks
from api.orders.placing import see_job
from api.orders.told import job_view
from api.routes.cursors import id_of
from api.services import services
from common.errors import BodyTooLarge, NotFound, Unavailable
from models.db import transaction
from models.files import results
from models.fleet.replicas import caught_up
from models.jobs import reads
from models.jobs.reads import JobRow
from storage.s3 import StorageError, storage

JOB, RESULT = "headrace://jobs/", "headrace://results/"
SHOWN = 20  # of the newest jobs
MOST_BYTES = 8 * 1024 * 1024  # of a result that is sent in an answer; larger ones are fetched by their address


def templates() -> list[ResourceTemplate]:
    """What can be read by its id."""
    return [
        ResourceTemplate(name="job", uri_template=JOB + "{id}", mime_type="application/json", description="A job of yours."),
        ResourceTemplate(
            name="result", uri_template=RESULT + "{id}", description=f"A result of yours, at most {MOST_BYTES} bytes."
        ),
    ]  # fmt: skip


async def list_resources(ctx: Context) -> list[Resource]:
    """The newest jobs and what they have brought."""
    assert ctx.request is not None  # noqa: S101 - over HTTP there always is one
    here, who = services(ctx.request.app), who_asks(ctx)
    rows = await here.places.ordinary.run(partial(_newest, who.account_id))
    return [each for row in rows for each in _resources(row)]


def _newest(account_id: UUID) -> list[JobRow]:
    with caught_up() as conn:
        return reads.list_jobs(conn, account_id, limit=SHOWN)


def _resources(row: JobRow) -> list[Resource]:
    return [
        Resource(uri=f"{JOB}{row.id}", name=f"job {row.id}", mime_type="application/json", description=row.model_id),
        *(
            Resource(
                uri=f"{RESULT}{asset['id']}", name=f"result {asset['index']} of job {row.id}", mime_type=asset["media_type"],
                size=asset["size_bytes"],
            )
            for asset in row.assets
            if asset["status"] == "stored"
        ),
    ]  # fmt: skip


async def read_resource(ctx: Context, uri: str) -> ReadResourceResult:
    """A job or a result of the caller's. Raises NotFound, BodyTooLarge, Unavailable."""
    assert ctx.request is not None  # noqa: S101 - over HTTP there always is one
    here, who = services(ctx.request.app), who_asks(ctx)
    if uri.startswith(JOB):
        row = await see_job(ctx.request, id_of(uri.removeprefix(JOB), "job"), who)
        text = orjson.dumps(job_view(row)).decode()
        return ReadResourceResult(contents=[TextResourceContents(uri=uri, mime_type="application/json", text=text)])
    if not uri.startswith(RESULT):
        raise NotFound(f"there is no resource {uri[:100]!r}", param="uri")
    asset_id = id_of(uri.removeprefix(RESULT), "result")
    media_type, data = await here.places.files.run(partial(_read, who.account_id, asset_id))
    values: dict[str, Any] = {"uri": uri, "mime_type": media_type}
    if media_type.startswith("text/"):
        return ReadResourceResult(contents=[TextResourceContents(**values, text=data.decode(errors="replace"))])
    return ReadResourceResult(contents=[BlobResourceContents(**values, blob=base64.b64encode(data).decode())])


def _read(account_id: UUID, asset_id: UUID) -> tuple[str, bytes]:
    with transaction() as conn:
        found = results.find_own_result(conn, account_id, asset_id)
    if found.size_bytes > MOST_BYTES:
        raise BodyTooLarge(
            f"the result has {found.size_bytes} bytes; read here are at most {MOST_BYTES}: fetch it by its url",
            param="uri", limit=MOST_BYTES, size=found.size_bytes,
        )  # fmt: skip
    try:
        with storage().get_range(found.key).chunks as chunks:
            return found.media_type, b"".join(chunks)
    except StorageError as error:
        raise Unavailable("the result cannot be read just now; ask again soon") from error
