"""Lists of this dialect: `after`, `limit` and `order`; the page that follows begins after `last_id`. Pure."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from starlette.requests import Request

from common.errors import InvalidParameter, NotFound

MOST, USUAL = 100, 20
PageRow = TypeVar("PageRow")


class AskedPage(NamedTuple):
    """What is asked for of a list."""

    after: str | None
    limit: int
    oldest_first: bool


def wanted_page(request: Request, *, most: int = MOST, usual: int = USUAL) -> AskedPage:
    """What a request asks for of a list. Raises InvalidParameter."""
    limit, order = request.query_params.get("limit", str(usual)), request.query_params.get("order", "desc")
    if not (limit.isascii() and limit.isdigit() and len(limit) <= 6 and 1 <= int(limit) <= most):
        raise InvalidParameter(f"limit must be between 1 and {most}", param="limit")
    if order not in ("asc", "desc"):
        raise InvalidParameter("order can be asc or desc", param="order")
    return AskedPage(request.query_params.get("after") or None, int(limit), order == "asc")


def after_id_of(wanted: AskedPage, read: Callable[[str], UUID]) -> UUID | None:
    """The place that a page begins after. Raises InvalidParameter for what is no id."""
    if wanted.after is None:
        return None
    try:
        return read(wanted.after)
    except NotFound as error:
        raise InvalidParameter(error.detail, param="after") from None


def page_of(rows: Sequence[PageRow], limit: int, view: Callable[[PageRow], dict[str, Any]]) -> dict[str, Any]:
    """What is answered of a list of which one row more was read than is shown."""
    data = [view(each) for each in rows[:limit]]
    return {
        "object": "list",
        "data": data,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": len(rows) > limit,
    }
