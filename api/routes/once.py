"""Requests that make something, done once: with an `Idempotency-Key` the same request again has the same answer.

For orders of jobs the submit itself does this (`models.jobs.submit`).
"""

from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import orjson
from fastapi import Header
from psycopg import Connection
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from api.routes.fast_routes import answer
from common.errors import InvalidRequest
from models.access.scopes import Caller
from models.db import certain
from models.jobs import answered
from models.jobs.admission import body_hash

MAX_KEY_CHARACTERS = 255

RepeatKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=MAX_KEY_CHARACTERS,
        description="Your own name for this request: sent again within 24 hours, it is answered with the same answer.",
    ),
]

# The same where a fast route only documents it.
KeyHeader = Annotated[str | None, Header(max_length=MAX_KEY_CHARACTERS)]


def key_of(request: Request) -> str | None:
    """The client's own name for its request, where no dependency has read it. Raises InvalidRequest."""
    key = request.headers.get("idempotency-key")
    if key is not None and not (0 < len(key) <= MAX_KEY_CHARACTERS):
        raise InvalidRequest(
            f"Idempotency-Key has {len(key)} characters; the limit is {MAX_KEY_CHARACTERS}",
            param="Idempotency-Key",
        )
    return key


def asked(request: Request, body: BaseModel | dict[str, Any] | None = None, *, by: Caller | None = None) -> bytes:
    """What makes two requests the same: where they went, and what they said. `by`: and who they came from, where the
    answer has a secret that is more than another of the account's keys may have.
    """
    said = body.model_dump(mode="json") if isinstance(body, BaseModel) else body
    whole = {"method": request.method, "path": request.url.path, "body": said}
    return body_hash(whole if by is None else {**whole, "by": str(by.key_id or by.user_id)})


class Made(NamedTuple):
    """What a request has made, and whether it had made it before."""

    body: dict[str, Any]
    replayed: bool


def make_once(
    who: Caller, key: str | None, asked_for: bytes, work: Callable[[Connection[Any]], Any], *, anew: bool = False
) -> Made:
    """Do the work in one transaction, or find what the same request made before. `anew`: it is another, whatever was made before under
    this key, and is what is found from now on.
    """
    replayed: dict[str, Any] | None = None
    with certain() as conn:
        if key is not None:
            replayed = answered.begin(conn, who.account_id, key, asked_for)
            replayed = None if anew else replayed
        made: dict[str, Any] = replayed or orjson.loads(orjson.dumps(work(conn)))
        if key is not None and replayed is None:
            answered.keep(conn, who.account_id, key, asked_for, made)
    return Made(made, replayed is not None)


def once(
    who: Caller,
    key: str | None,
    asked_for: bytes,
    work: Callable[[Connection[Any]], Any],
    *,
    status: int = 200,
    location: str | None = None,
) -> Response:
    """Do the work in one transaction, and answer with what it returns. `location`: with the answer's id in braces."""
    made = make_once(who, key, asked_for, work)
    return made_answer(made.body, status=status, location=location, replayed=made.replayed)


def made_answer(made: dict[str, Any], *, status: int, location: str | None, replayed: bool) -> Response:
    """The answer that tells what was made, now or before."""
    headers = {"idempotent-replayed": "true"} if replayed else {}
    if location is not None:
        headers["location"] = location.format(**made)
    return answer(made, status, headers)
