"""/v1/labels/limits: what the orders with a label may spend in a month."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import Depends, Query
from pydantic import BaseModel, Field
from starlette.responses import Response

from api.routes.callers import needs
from api.routes.cursors import Listing, ListPage, WantedPage
from api.routes.fast_routes import answer
from api.routes.prefix_router import PrefixRouter
from api.routes.shapes import RequestBody
from api.routes.walled import WalledRoute
from common.labels import LabelName, LabelValue
from models.access.scopes import Caller
from models.credits import label_limits
from models.credits.label_limits import LabelLimitRow
from models.db import certain, transaction

router = PrefixRouter(prefix="/v1/labels", tags=["credits"], route_class=WalledRoute)


class WantedLimit(RequestBody):
    """A limit of a label."""

    name: LabelName
    value: LabelValue
    monthly_credits: Annotated[
        int, Field(strict=True, ge=0, le=2**53, description="What its jobs and holds may cost in a calendar month (UTC).")
    ]  # fmt: skip


class LabelLimitView(BaseModel):
    """A limit of a label."""

    name: str
    value: Annotated[str, Field(description="`*`: each value that has no limit of its own.")]
    monthly_credits: int
    spent_this_month: Annotated[int | None, Field(description="Null for `*`, where each value has spent its own.")]
    created_at: datetime


class LabelLimitPage(ListPage[LabelLimitView]):
    """Limits, by name and value."""


def _place_of(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon:
        raise ValueError
    return name, value


LABEL_LIMITS = Listing[tuple[str, str]]("label-limits", _place_of, ":".join)


def _view(row: LabelLimitRow) -> dict[str, Any]:
    return row._asdict()


@router.get("/limits", response_model=LabelLimitPage, summary="List limits of labels")
def list_label_limits(
    who: Annotated[Caller, Depends(needs("read"))],
    wanted: Annotated[WantedPage[tuple[str, str]], Depends(LABEL_LIMITS.wanted)],
) -> Response:
    """By name and value, with what each has spent this month."""
    with transaction() as conn:
        rows = label_limits.list_limits(conn, who.account_id, after=wanted.after, limit=wanted.reads)
    return answer(LABEL_LIMITS.page(rows, wanted, lambda row: (row.name, row.value), _view))


@router.put("/limits", response_model=LabelLimitView, summary="Limit what a label may spend")
def put_label_limit(body: WantedLimit, who: Annotated[Caller, Depends(needs("write"))]) -> Response:
    """In a month, for one value (`customer: acme`) or, with `*`, for each that has no limit of its own. What was ordered this
    month counts. An order that would pass it is 402 `label_limit_exceeded`.
    """
    with certain() as conn:
        row = label_limits.set_limit(conn, who.account_id, body.name, body.value, body.monthly_credits)
    return answer(_view(row))


@router.delete("/limits", status_code=204, summary="Take a limit of a label away")
def delete_label_limit(
    who: Annotated[Caller, Depends(needs("write"))], name: Annotated[LabelName, Query()], value: Annotated[LabelValue, Query()]
) -> Response:  # fmt: skip
    """Of exactly this value; `*` is one of them."""
    with certain() as conn:
        label_limits.remove_limit(conn, who.account_id, name, value)
    return Response(status_code=204)
