"""Batches on their way in, the same in whatever words they are ordered: lines out of a body, and the files of their inputs."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any
from uuid import UUID

import orjson

from api.edge.texts import check_json
from api.intake.inputs import Inputs
from common.errors import BodyTooLarge, DomainError, InvalidInput, InvalidRequest
from models.jobs.admission import Order
from models.jobs.batch_rows import MAX_LINES
from models.jobs.batches import Line


def lines_of(file: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """The lines of a body, by their numbers; empty ones at its end are none. Raises InvalidRequest where there is no line,
    InvalidInput for too many.
    """
    last = 0
    for number, raw in enumerate(file, 1):
        if number > 2 * MAX_LINES:
            break
        if line := raw.strip(b" \t\r\n"):
            if number > MAX_LINES:
                raise InvalidInput(
                    f"the body has more than {MAX_LINES} lines, the limit of a batch", param="body", limit=MAX_LINES
                )
            yield from ((empty, b"") for empty in range(last + 1, number))
            yield number, line
            last = number
    if not last:
        raise InvalidRequest("the body has no line; send JSON Lines, one order a line", param="body")


def read_line(raw: bytes, most: int) -> dict[str, Any]:
    """A line as a JSON object. Raises BodyTooLarge, InvalidInput, InvalidRequest."""
    if len(raw) > most:
        raise BodyTooLarge(f"the line has {len(raw)} bytes; the limit is {most}", param="line")
    check_json(raw, "line")
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"the line is not JSON: {error}" if raw else "the line is empty", param="line") from None
    if not isinstance(body, dict):
        raise InvalidRequest("the line must be a JSON object", param="line")
    return body


async def with_files(inputs: Inputs, account_id: UUID, lines: list[Line]) -> list[Line]:
    """The same with the files of their inputs made sure of, each once however many lines name it."""
    known = dict[tuple[str, str, str], str | DomainError]()
    return [
        await _with_files(inputs, account_id, line, known)
        if isinstance(line.order, Order) and line.order.offer.file_fields
        else line
        for line in lines
    ]


async def _with_files(
    inputs: Inputs, account_id: UUID, line: Line, known: dict[tuple[str, str, str], str | DomainError]
) -> Line:
    order = line.order
    assert isinstance(order, Order)  # noqa: S101 - the caller has looked
    values = dict(order.input)
    for field, wanted in order.offer.file_fields.items():
        given = values.get(field)
        if not isinstance(given, str):
            continue
        name = field, wanted, given
        if name not in known:
            known[name] = await _sure(inputs, account_id, field, wanted, given)
        found = known[name]
        if isinstance(found, DomainError):
            return line._replace(order=found)
        values[field] = found
    return line._replace(order=replace(order, input=values))


async def _sure(inputs: Inputs, account_id: UUID, field: str, wanted: str, given: str) -> str | DomainError:
    param = f"input.{field}"
    if given[:5].lower() == "data:":
        return InvalidInput(
            f"{param}: a batch takes no data: URIs; upload the file first (POST /v1/files)", param=param
        )
    try:
        return await inputs.accept_one(account_id, param, wanted, given)
    except DomainError as error:
        if error.retryable:
            raise
        return error
