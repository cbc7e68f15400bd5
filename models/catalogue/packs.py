"""Packs: credits that are sold once, beside or without a plan."""

from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import orjson
from psycopg import Connection
from pydantic import BaseModel, ConfigDict
from pydantic import Field as Limit
from sqlalchemy import BigInteger, CheckConstraint, Column, Integer, SmallInteger, Text, text, tuple_
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, Session, SQLModel, col, select

from common.errors import InvalidInput, NotFound
from common.settings import settings
from models.catalogue.plans import (
    UNNAMED,
    Amount,
    Currency,
    OfferId,
    PlanEntry,
    ProductName,
    Small,
    is_shown,
    stored_plans,
)
from models.columns import MAX_INTEGER

MAX_DAYS = 36_500  # a hundred years: what is kept longer never expires


class Pack(SQLModel, table=True):
    """So many credits at a price in each currency, in major units. Without a price it is not for sale."""

    __tablename__ = "packs"
    __table_args__ = (CheckConstraint("credits > 0 and expires_days > 0", name="positive"),)

    id: str = Field(primary_key=True, sa_type=Text)
    name: str = Field(sa_type=Text, nullable=False)
    product: str = Field(default=UNNAMED, sa_type=Text, nullable=False, sa_column_kwargs={"server_default": UNNAMED})
    position: int = Field(sa_type=SmallInteger, nullable=False)
    credits: int = Field(sa_type=BigInteger, nullable=False)
    prices: dict[str, str] = Field(sa_column=Column(JSONB, nullable=False, server_default=text("'{}'")))
    expires_days: int | None = Field(default=None, sa_type=Integer, nullable=True)  # after it was paid; None: never


class PackEntry(BaseModel):
    """A `[packs.NAME]` of the catalogue."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: OfferId
    name: str = Limit(min_length=1, max_length=100)
    product: ProductName = UNNAMED
    position: Small
    credits: Annotated[int, Limit(ge=1, le=10**15)]
    prices: dict[Currency, Amount] = {}
    expires_days: int | None = Limit(None, ge=1, le=min(MAX_DAYS, MAX_INTEGER))


def page_of_packs(opened: Session, *, after: tuple[int, str] | None, limit: int) -> Sequence[Pack]:
    """Packs that this deployment sells, in the order in which they are offered, from the one after `after` (its position
    and id).
    """
    wanted = select(Pack).where(col(Pack.prices) != {}).order_by(col(Pack.position), col(Pack.id)).limit(limit)
    if shown := settings().shown_products():
        wanted = wanted.where(col(Pack.product).in_(shown))
    if after is not None:
        wanted = wanted.where(tuple_(col(Pack.position), col(Pack.id)) > after)
    return opened.exec(wanted).all()


def find_pack(opened: Session, pack_id: str) -> Pack:
    """One pack that this deployment shows. Raises NotFound."""
    pack = opened.get(Pack, pack_id)
    if pack is None or not is_shown(pack.product):
        raise NotFound(f"no pack {pack_id[:40]!r}", param="pack_id")
    return pack


_COLUMNS = [name for name in PackEntry.model_fields if name != "id"]


def stored_packs(conn: Connection[Any], *, lock: bool = False) -> dict[str, dict[str, Any]]:
    """The packs as they are, by id, each as the catalogue file would have it."""
    tail = " for update" if lock else ""
    rows = conn.execute(f"select id, {', '.join(_COLUMNS)} from packs order by position, id{tail}").fetchall()
    return {row[0]: dict(zip(_COLUMNS, row[1:], strict=True)) for row in rows}


def body_of(entry: PackEntry) -> dict[str, Any]:
    """A pack as it is stored, but for its id."""
    return entry.model_dump(mode="json", exclude={"id"})


def apply_packs(conn: Connection[Any], entries: Iterable[PackEntry]) -> dict[str, str]:
    """Write these packs. One that left the file stays: it may just be paid for; one without prices is not for sale.
    Returns "new" or "changed", by id.
    """
    stored, changes = stored_packs(conn, lock=True), dict[str, str]()
    for entry in entries:
        body = body_of(entry)
        if stored.get(entry.id) == body:
            continue
        changes[entry.id] = "changed" if entry.id in stored else "new"
        conn.execute(
            f"""insert into packs (id, {", ".join(_COLUMNS)})
                values (%(id)s, {", ".join(f"%({name})s" + ("::jsonb" if name == "prices" else "") for name in _COLUMNS)})
                on conflict (id) do update set {", ".join(f"{name} = excluded.{name}" for name in _COLUMNS)}""",
            {**body, "id": entry.id, "prices": orjson.dumps(body["prices"]).decode()},
        )
    return changes


def check_meanings(conn: Connection[Any], plan_entries: Iterable[PlanEntry], pack_entries: Iterable[PackEntry]) -> None:
    """Raises InvalidInput where an id would come to mean something else than it does: whoever has it keeps what they bought."""
    stored = {"plans": stored_plans(conn), "packs": stored_packs(conn)}
    given: Iterable[tuple[str, str, PlanEntry | PackEntry]] = [
        *(("plans", "packs", each) for each in plan_entries), *(("packs", "plans", each) for each in pack_entries)
    ]  # fmt: skip
    for section, other, entry in given:
        place = f"{section}.{entry.id}"
        product = stored[section].get(entry.id, {}).get("product", UNNAMED)
        if entry.id in stored[other]:
            raise InvalidInput(
                f"{place}: {entry.id!r} is one of the {other} already; an id has one meaning", param=place
            )
        if product not in (UNNAMED, entry.product):
            raise InvalidInput(
                f"{place}.product: {entry.id!r} is {product}'s; an id has one meaning, so give this one another",
                param=f"{place}.product",
            )
