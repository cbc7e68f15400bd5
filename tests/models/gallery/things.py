"""What tests of the gallery are made of: results of jobs, without their bytes."""

from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from models.catalogue.entries import Offer
from models.db import transaction
from models.gallery import collections, contents, items
from models.gallery.collections import CollectionRow
from models.gallery.items import ItemRow
from models.gallery.words import Kind
from models.jobs import ending
from models.jobs.ending import Ending, NewAsset
from scheduler.duties.gallery import index_results
from tests.support import account, claimed, model, one, placed

ANYTHING = {
    "type": "object",
    "additionalProperties": False,
    "properties": {"prompt": {"type": "string"}, "text": {"type": "string"}, "seed": {"type": "integer"}},
}


def offer(name: str = "gallery-model") -> Offer:
    """A model that takes any prompt."""
    return model(name, input_schema=ANYTHING)


def result(
    who: UUID,
    prompt: str = "a harbour at dawn",
    *,
    media: str = "image/png",
    count: int = 1,
    made_by: Offer | None = None,
    **values: Any,
) -> UUID:
    """A job that succeeded with so many results. Returns the first."""
    job_id = placed(who, made_by or offer(), {"prompt": prompt, **values})
    claim = claimed(job_id)
    assets = [
        NewAsset(uuid7(), index, f"{job_id}/{index}", media, 6, b"0" * 32, 64, 48, None, f"{job_id}/{index}-t", 3)
        for index in range(count)
    ]
    with transaction() as conn:
        ending.end(conn, who, job_id, Ending("succeeded", cost_credits=1, assets=assets), token=claim.token)
    return assets[0].id


def indexed(*item_ids: UUID) -> None:
    """The duty comes by until these, or all there are, are its rows."""
    while index_results(1000).more:
        pass
    for item_id in item_ids:
        assert one("select count(*) from gallery_items where id = %s", item_id) == (1,)


def publish(who: UUID, item_id: UUID, *, on: bool = True, kind: Kind = "image") -> ItemRow:
    """Say that an item is public, or private."""
    with transaction() as conn:
        return items.change(conn, who, item_id, kind, {"public": on})


def collection(who: UUID, *item_ids: UUID, **fields: Any) -> CollectionRow:
    """A collection with these items."""
    with transaction() as conn:
        made = collections.create(conn, who, {"name": "A collection", **fields})
        if item_ids:
            contents.add(conn, who, made.id, item_ids)
        return collections.find(conn, who, made.id)


def shown(viewer: UUID, collection_id: UUID) -> list[UUID]:
    """What somebody sees in a collection."""
    with transaction() as conn:
        found = collections.find(conn, viewer, collection_id)
        return [each.item.id for each in contents.list_items(conn, viewer, found, limit=5000)]


def somebody(email: str | None = None, *, plan: str = "enterprise") -> UUID:
    """An account whose user has this address."""
    who = account(amount=1000, plan=plan)
    with transaction() as conn:
        conn.execute(
            "update users set email = %s where id = (select user_id from accounts where id = %s)", [email, who]
        )
    return who
