"""What a batch has brought, as the two files that OpenAI writes of it: they are written when they are read, and are kept nowhere."""

import re
from collections.abc import AsyncIterator
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from api.dialects.openai.refusals import refuse_openai
from api.edge.voices import PlainRefusal
from api.orders.texts import text_of
from api.services import services
from common.dialects.openai import (
    CountedUsage,
    completion,
    failure_status,
    name_of_job,
    response,
    seconds_of,
    video,
    why_failed,
)
from common.dialects.told import ToldJob
from common.errors import NotFound
from models.access.scopes import Caller
from models.db import transaction
from models.jobs import batch_rows, reads
from models.jobs.batch_rows import BatchRow, LineRow
from models.jobs.outward import told_job
from models.jobs.reads import JobRow
from models.jobs.states import JobEnd

LINES_TYPE = "application/jsonl"
LINES_AT_ONCE = 100  # read and sent
_OUTPUT = re.compile(r"file[_-](out|err)_([0-9a-f]{32})")


class BatchOutput(NamedTuple):
    """One of the two files of a batch."""

    batch_id: UUID
    errors: bool

    @property
    def name(self) -> str:
        return f"file_{'err' if self.errors else 'out'}_{self.batch_id.hex}"


def output_named(name: str) -> BatchOutput | None:
    """The file of a batch that an id names; None: it is no such id."""
    found = _OUTPUT.fullmatch(name)
    return BatchOutput(UUID(found[2]), found[1] == "err") if found else None


def find_batch(account_id: UUID, batch_id: UUID) -> BatchRow:
    """A batch that was ordered in this dialect. Raises NotFound."""
    with transaction() as conn:
        row = batch_rows.find(conn, account_id, batch_id)
    if row.said is None:
        raise NotFound(f"no batch {name_of_job('batch', batch_id)}", param="id")
    return row


async def _batch_of(request: Request, who: Caller, output: BatchOutput) -> BatchRow:
    row = await services(request.app).places.ordinary.run(partial(find_batch, who.account_id, output.batch_id))
    if row.ended_at is None:
        raise NotFound(f"no file {output.name}: its batch is under way", param="id")
    return row


async def output_shape(request: Request, who: Caller, output: BatchOutput) -> dict[str, Any]:
    """What one of these files is. How long it is, nobody knows before it is read."""
    row = await _batch_of(request, who, output)
    return {
        "id": output.name, "object": "file", "bytes": 0, "created_at": seconds_of(row.ended_at), "purpose": "batch_output",
        "filename": f"{output.name}.jsonl", "status": "processed", "expires_at": None,
    }  # fmt: skip


async def stream_output(request: Request, who: Caller, output: BatchOutput) -> Response:
    """One of these files. Between two of its pages neither a thread nor a connection is held."""
    row = await _batch_of(request, who, output)
    return StreamingResponse(_lines(request, row, output), media_type=LINES_TYPE)


class _Page(NamedTuple):
    lines: list[LineRow]
    jobs: dict[UUID, JobRow]
    usages: dict[UUID, CountedUsage]


async def _lines(request: Request, batch: BatchRow, output: BatchOutput) -> AsyncIterator[bytes]:
    after, place = 0, services(request.app).places.ordinary
    while True:
        page = await place.run(partial(_read, batch.id, after, output.errors))
        for line in page.lines:
            if _is_failed(line) == output.errors:
                row = page.jobs[line.job_id] if line.job_id else None
                job = None if row is None else told_job(row, await text_of(request, row))
                usage = page.usages.get(line.job_id) if line.job_id else None
                yield orjson.dumps(line_shape(str((batch.said or {}).get("endpoint")), line, job, usage)) + b"\n"
        if len(page.lines) < LINES_AT_ONCE:
            return
        after = page.lines[-1].number


def _is_failed(line: LineRow) -> bool:
    return line.ended != JobEnd.SUCCEEDED


def _read(batch_id: UUID, after: int, errors: bool) -> _Page:
    with transaction() as conn:
        lines = batch_rows.lines_after(conn, batch_id, after, LINES_AT_ONCE)
        wanted = [each.job_id for each in lines if each.job_id and _is_failed(each) == errors]
        jobs = reads.jobs_by_id(conn, wanted)
        texts = [each for each, row in jobs.items() if row.kind == "text" and not errors]
        return _Page(lines, jobs, {each: reads.usage(conn, each) for each in texts})


def line_shape(endpoint: str, line: LineRow, job: ToldJob | None, usage: CountedUsage) -> dict[str, Any]:
    """What became of a line. Pure."""
    shown: dict[str, Any] = {
        "id": f"batch_req_{line.number}",
        "custom_id": line.custom_id,
        "response": None,
        "error": None,
    }
    if job is None:
        error = line.error or {}
        body = _refused(error.get("code", "invalid_request"), error.get("message", ""), error.get("param"), 400)
        return {**shown, "response": {"status_code": 400, "request_id": "", "body": body}}
    shown["id"] = name_of_job("batch_req", job.id)
    failed = why_failed(job)
    if job.status == "canceled":
        return {**shown, "error": {"code": "batch_cancelled", "message": "the batch was canceled before this was done"}}
    if failed is not None:
        status = failure_status(failed["code"])
        body = _refused(failed["code"], failed["message"], None, status)
    else:
        status, body = 200, success_shape(endpoint, job, usage)
    return {**shown, "response": {"status_code": status, "request_id": str(job.id), "body": body}}


def _refused(code: str, message: str, param: str | None, status: int) -> dict[str, Any]:
    return refuse_openai(PlainRefusal(status, code, message, "", param, False, None, {})).body


def success_shape(endpoint: str, job: ToldJob, usage: CountedUsage) -> dict[str, Any]:
    """What a line's request would have been answered with. Pictures are addresses: a file of ten thousand would be too large else."""
    if endpoint == "/v1/videos":
        return video(job)
    if endpoint == "/v1/chat/completions":
        return completion(job, usage)
    if endpoint == "/v1/responses":
        return response(job, usage)
    return {"created": seconds_of(job.created_at), "data": [{"url": each.url} for each in job.files]}
