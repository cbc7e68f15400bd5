"""The catalogue: what can be ordered, at what price, by which routes; every version of it, and what differs between two."""

from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from api.console.site import Viewed, console_router
from common.errors import NotFound
from models.catalogue.entries import Entry, offers
from models.catalogue.history import Version, field_changes, versions
from models.catalogue.prices import PriceRule
from models.db import transaction

router = console_router()

MAX_VERSIONS = 100  # of one model, the newest: what is older stays stored, and jobs refer to it


class FieldDiff(NamedTuple):
    """A leaf in which two versions differ; None: not there."""

    path: str
    before: Any
    after: Any


@router.get("/catalogue")
def show_catalogue(page: Viewed) -> Response:
    """The current models."""
    with transaction() as conn:
        found = offers(conn)
    rows = [(offer.entry, offer.version, price_words(offer.entry.price)) for offer in found.values()]
    return page.show("catalogue.html", rows=rows)


@router.get("/catalogue/{model_id:path}")
def show_model(page: Viewed, model_id: str, request: Request) -> Response:
    """One model, its versions, and what differs between two of them."""
    with transaction() as conn:
        found = versions(conn, model_id)
    if not found:
        raise NotFound(f"no model {model_id[:100]!r}")
    newest = found[-1]
    first, second = chosen_versions(found, request.query_params.get("from"), request.query_params.get("to"))
    entry = Entry.model_validate(newest.entry)
    return page.show(
        "model.html", model=entry, newest=newest, versions=found[::-1][:MAX_VERSIONS], count=len(found), first=first, second=second,
        price=price_words(entry.price),
        changes=[FieldDiff(*each) for each in field_changes(first.entry, second.entry)] if first is not None else None,
    )  # fmt: skip


def chosen_versions(found: list[Version], first: str | None, second: str | None) -> tuple[Version | None, Version]:
    """The two that are compared: those that were asked for, or the newest and the one before it."""
    by_number = {str(each.version): each for each in found}
    after = by_number.get(second or "", found[-1])
    place = found.index(after)
    before = by_number.get(first or "", found[place - 1] if place else None)
    return before, after


def price_words(rule: PriceRule) -> str:
    """A price as people say it."""
    unit = rule.unit if rule.per == 1 else f"{rule.per:,} {rule.unit}s"
    if rule.credits is not None:
        return f"{rule.credits:,} {'credit' if rule.credits == 1 else 'credits'} per {unit}"
    return f"${(rule.cost_usd_micros or 0) / 1_000_000:g} + markup per {unit}"
