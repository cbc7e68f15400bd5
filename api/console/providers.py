"""Providers: who takes jobs, at what limit, how they answered in the last hour."""

from typing import NamedTuple

from starlette.responses import Response

from api.console.routing import Shown, console_router
from api.console.wording import counted_as, later
from models.catalogue.providers import BUILT_IN, ProviderEntry, ProviderLimits, providers
from models.db import transaction
from models.jobs import pauses
from models.jobs.pauses import PauseRow
from models.operations.asked import ProviderFigures, provider_figures
from workers.calls.limits import ProviderState, pressure

router = console_router()

LOOK_BACK_SECONDS = 3600


class ProviderCard(NamedTuple):
    """A provider as it is shown."""

    name: str
    entry: ProviderEntry | None  # None: the one that is built in
    state: str
    says: str
    limits: ProviderLimits
    now: ProviderState | None  # None: Redis is away, and nobody knows
    figures: ProviderFigures | None
    pause: PauseRow | None


@router.get("/providers")
def show_providers(page: Shown) -> Response:
    """All of the catalogue, and the built-in one where it was asked."""
    with transaction() as conn:
        entries = providers(conn)
        figures = {each.provider: each for each in provider_figures(conn, later(page.now, -LOOK_BACK_SECONDS))}
        paused = {each.name: each for each in pauses.list_pauses(conn) if each.what == "provider"}
    names = sorted({*entries, *([BUILT_IN] if BUILT_IN in figures or BUILT_IN in paused else [])})
    limits = {name: entries[name].limits if name in entries else ProviderLimits() for name in names}
    states = pressure().states(limits)
    cards = []
    for name in names:
        now = None if states is None else states[name]
        state, says = provider_health(now, limits[name], paused.get(name))
        cards.append(
            ProviderCard(name, entries.get(name), state, says, limits[name], now, figures.get(name), paused.get(name))
        )
    return page.show("providers.html", cards=cards, summary=providers_summary(cards), known=states is not None)


def provider_health(now: ProviderState | None, limits: ProviderLimits, pause: PauseRow | None) -> tuple[str, str]:
    """How a provider stands, in a word and in a few."""
    if pause is not None:
        return "paused", "by an operator; its models go to others"
    if now is None:
        return "unknown", "not known while Redis is away"
    if now.resting_seconds > 0:
        return (
            "resting",
            f"after {counted_as(max(now.faults, limits.faults), 'fault')}; tried again in {now.resting_seconds:.0f} s",
        )
    if now.half_open:
        return "resting", "one call at a time, to see whether it is well"
    if now.limited_seconds > 0:
        return "full", f"it asked to be left alone; again in {now.limited_seconds:.0f} s"
    if now.slots_free == 0:
        return "full", "at its limit of calls at once; jobs wait for it"
    if now.calls_left == 0:
        return "full", f"at its limit of calls a minute; again in {now.call_seconds:.0f} s"
    return "ok", f"{counted_as(now.faults, 'fault')} lately" if now.faults else "answers as usual"


def providers_summary(cards: list[ProviderCard]) -> str:
    """How many stand how."""
    words = {"ok": "OK", "full": "full", "resting": "resting", "paused": "paused", "unknown": "not known"}
    counts = [(sum(card.state == state for card in cards), word) for state, word in words.items()]
    return (
        ", ".join(f"{count} {word}" for count, word in counts if count) + "." if cards else "The catalogue names none."
    )
