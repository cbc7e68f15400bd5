"""A batch on its way in: from its body on disk to orders that are checked. A line that is no good says why, and harms no other."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import IO, Annotated, Any, NamedTuple
from uuid import UUID

import orjson
from pydantic import ConfigDict, Field, ValidationError
from uuid_utils.compat import uuid7

from api.catalogue import Catalogue
from api.edge.problems import first_of
from api.edge.texts import check_json
from api.intake.inputs import Inputs
from api.v1.jobs import webhook_of
from api.v1.jobs_shapes import JobRequest
from common.errors import BodyTooLarge, DomainError, InvalidInput, InvalidRequest
from models.access import scopes
from models.access.scopes import Caller
from models.jobs.admission import Order
from models.jobs.batch_rows import MAX_CUSTOM_ID, MAX_LINES
from models.jobs.batches import BEHIND, Line

_CustomId = Annotated[
    str | None,
    Field(
        min_length=1,
        max_length=MAX_CUSTOM_ID,
        pattern=r"^[^\x00-\x1f]+$",
        description="Your own name for the line: once in a batch.",
    ),
]


class BatchedOrder(JobRequest):
    """One line of a batch: an order as `POST /v1/jobs` takes it. Its queue is `batch`, if it names none."""

    model_config = ConfigDict(
        strict=True,
        json_schema_extra={
            "examples": [{"custom_id": "a-1", "model": "sketch-image", "input": {"prompt": "a harbour at dawn"}}]
        },
    )

    custom_id: _CustomId = None


class Desk(NamedTuple):
    """What lines are checked against."""

    who: Caller
    catalogue: Catalogue
    line_bytes: int  # the most that a line may have


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


def check_lines(desk: Desk, file: IO[bytes]) -> list[Line]:
    """All lines, each with its order or what is wrong with it. Raises as `lines_of`. Synchronous: it takes half a second for the
    most that there can be.
    """
    file.seek(0)
    named = dict[str, int]()
    return [_checked(desk, number, raw, named) for number, raw in lines_of(file)]


def _checked(desk: Desk, number: int, raw: bytes, named: dict[str, int]) -> Line:
    custom_id = None
    try:
        body = _read(raw, desk.line_bytes)
        custom_id = _name_of(body)
        if custom_id is not None and named.setdefault(custom_id, number) != number:
            raise InvalidInput(f"custom_id {custom_id!r} is that of line {named[custom_id]} already", param="custom_id")
        return Line(number, custom_id, _order(desk, body))
    except DomainError as error:
        return Line(number, custom_id, error)


def _read(raw: bytes, most: int) -> dict[str, Any]:
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


def _name_of(body: dict[str, Any]) -> str | None:
    """The line's name, if it is one: what is wrong with it is said with the line."""
    given = body.get("custom_id")
    if not isinstance(given, str) or not 0 < len(given) <= MAX_CUSTOM_ID:
        return None
    return given if min(given) >= " " else None


def _order(desk: Desk, body: dict[str, Any]) -> Order:
    try:
        wanted = BatchedOrder.model_validate(body)
    except ValidationError as error:
        place, detail = first_of(error.errors(include_url=False))
        raise InvalidInput(detail, param=place) from None
    who = desk.who
    scopes.check_model(who, wanted.model)
    offer = desk.catalogue.named(wanted.model)
    return Order(
        uuid7(), who.account_id, offer, offer.checked(wanted.input), priority=wanted.priority - BEHIND,
        queue=wanted.queue or "batch", api_key_id=who.key_id, key_budget=who.monthly_credits,
        webhook=webhook_of(who, wanted), labels=wanted.labels,
    )  # fmt: skip


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
