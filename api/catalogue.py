"""The models that can be ordered and the parts that are on, kept in memory and read again every few seconds."""

import asyncio
import contextlib
import logging
from bisect import bisect_right
from collections.abc import Callable, Sequence

from common.errors import UnknownModel
from common.features import FEATURES, Feature
from common.settings import settings
from models.catalogue.entries import Offer, offers
from models.catalogue.switches import features_on
from models.db import transaction

log = logging.getLogger(__name__)

OWNER = "headrace"  # of models whose ids name nobody, where a dialect's names have two parts


class Catalogue:
    """The current models. `write` makes of each what is listed, once for all who ask."""

    def __init__(self, write: Callable[[Offer], bytes]) -> None:
        self._write = write
        self._offers: dict[str, Offer] = {}
        self._aliases: dict[str, Offer] = {}
        self._features: frozenset[Feature] = frozenset(FEATURES)
        self._listed: tuple[list[str], list[bytes]] = ([], [])  # ids in order, and each model as it is written
        self._task: asyncio.Task[None] | None = None

    def named(self, model_id: str) -> Offer:
        """The model that a client names. Raises UnknownModel."""
        offer = self._offers.get(model_id)
        if offer is None:
            raise UnknownModel(f"there is no model {model_id!r}; see GET /v1/models", param="model")
        return offer

    def called(self, name: str) -> Offer:
        """The model that a program of another product calls so: by its id, by one of its aliases, or by its id under `headrace/`.
        Raises UnknownModel.
        """
        offer = self._offers.get(name) or self._aliases.get(name) or self._offers.get(name.removeprefix(f"{OWNER}/"))
        return offer if offer is not None else self.named(name)

    def has(self, feature: Feature) -> bool:
        """Whether a part of the product is on."""
        return feature in self._features

    def kind_of(self, model_id: str) -> str | None:
        """What a model makes; None: it is not offered any more."""
        offer = self._offers.get(model_id)
        return None if offer is None else offer.entry.kind

    def is_empty(self) -> bool:
        return not self._offers

    def page(self, after: str | None, limit: int) -> tuple[Sequence[bytes], str | None]:
        """Models in the order of their ids, as they are written; and the last one's id, if there are more."""
        ids, written = self._listed
        begin = 0 if after is None else bisect_right(ids, after)
        end = begin + limit
        return written[begin:end], ids[end - 1] if end < len(ids) else None

    def offers(self, after: str | None, limit: int) -> tuple[list[Offer], str | None]:
        """Models in the order of their ids; and the last one's id, if there are more."""
        ids, _ = self._listed
        begin = 0 if after is None else bisect_right(ids, after)
        end = begin + limit
        return [self._offers[each] for each in ids[begin:end]], ids[end - 1] if end < len(ids) else None

    def every_offer(self) -> list[Offer]:
        """All models, in the order of their ids."""
        return [self._offers[each] for each in self._listed[0]]

    def look_for(self, query: str) -> list[Offer]:
        """Models of which each of these words is in an id, a name, an alias, what they make or what is said of them."""
        words = query.lower().split()
        return [each for each in self.every_offer() if all(word in _text_of(each) for word in words)]

    def load(self) -> None:
        """Read the models from the database; those that have not changed keep their compiled schemas."""
        with transaction() as conn:
            fresh = offers(conn)
            self._features = features_on(conn)
        self._offers = {
            model_id: old if (old := self._offers.get(model_id)) and old.version == offer.version else offer
            for model_id, offer in fresh.items()
        }
        ids = sorted(self._offers)
        # Of two models with one alias, which only two files can bring about, the one that was changed last has it.
        by_age = sorted(self._offers.values(), key=_changed_at)
        self._aliases = {name: each for each in by_age for name in each.entry.aliases}
        self._listed = ids, [self._write(self._offers[model_id]) for model_id in ids]

    def start(self) -> None:
        self._task = asyncio.create_task(self._refresh())

    async def stop(self) -> None:
        if self._task:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _refresh(self) -> None:
        while True:
            await asyncio.sleep(settings().catalogue_refresh_seconds)
            try:
                await asyncio.to_thread(self.load)
            except Exception:
                log.warning("the catalogue could not be read again; the old one stays", exc_info=True)


def _changed_at(offer: Offer) -> tuple[float, str]:
    return offer.created_at.timestamp() if offer.created_at else 0.0, offer.entry.id


def _text_of(offer: Offer) -> str:
    entry = offer.entry
    return " ".join([entry.id, entry.name, entry.description, entry.kind, *entry.aliases]).lower()
