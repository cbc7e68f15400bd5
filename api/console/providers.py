"""Providers: who takes jobs, at what limit, how they answered in the last hour."""

from typing import NamedTuple
from urllib.parse import urlsplit

from starlette.responses import Response

from api.console.site import Viewed, console_router
from api.sites.forms import REASON, ActForm, FormField, ask_first, carry_out
from api.sites.routing import Actor, Posted, shaped
from api.sites.wording import counted_as, later
from api.v1.admin_accounts import Because
from api.v1.admin_providers import AWAY, RestRequest
from common.errors import NotFound, Unavailable
from models.access.audit_log import By
from models.catalogue.providers import BUILT_IN, ProviderEntry, ProviderLimits, providers
from models.db import certain, transaction
from models.jobs import pauses
from models.jobs.pauses import PauseRow
from models.operations import fleet_acts
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

    @property
    def host(self) -> str:
        """Where it is asked."""
        if self.entry is None:
            return "built in"
        return urlsplit(self.entry.base_url or "").netloc or self.entry.adapter

    @property
    def may_rest(self) -> bool:
        """Whether it has limits that operators can set aside."""
        return self.entry is not None and self.name != BUILT_IN


@router.get("/providers")
def show_providers(page: Viewed) -> Response:
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


# Rest and wake


@router.get("/providers/{provider}/{act}")
def ask_provider(page: Viewed, provider: str, act: str) -> Response:
    """Before a provider is rested, or woken."""
    return ask_first(page, provider_form(provider, act))


@router.post("/providers/{provider}/{act}")
def act_on_provider(page: Viewed, actor: Actor, fields: Posted, provider: str, act: str) -> Response:
    """Write it down, then do it."""
    form = provider_form(provider, act)

    def work() -> None:
        if act == "rest":
            wish = shaped(RestRequest, fields, "seconds", "reason")
            order_rest(provider, wish.seconds, actor, wish.reason)
        else:
            order_rest(provider, 0, actor, shaped(Because, fields, "reason").reason)

    return carry_out(page, form, fields, work, "rested" if act == "rest" else "woken")


def order_rest(provider: str, seconds: int, actor: By, reason: str) -> None:
    """Rest a provider for so long; 0 wakes it. Raises Unavailable while Redis is away."""
    details = {"seconds": seconds} if seconds else {}
    with certain() as conn:
        fleet_acts.order_provider_act(
            conn, actor, provider, "provider.rest" if seconds else "provider.wake", reason, **details
        )
    if not pressure().rest(provider, seconds):
        raise Unavailable(AWAY)


def provider_form(provider: str, act: str) -> ActForm:
    """The page that asks before. Raises NotFound for what is not done to providers."""
    path, name = f"/providers/{provider}/{act}", provider[:60]
    if act == "wake":
        return ActForm(
            f"Wake {name}",
            "It is asked again at once, whatever faults or limits it had.",
            path,
            "/providers",
            "Wake it",
            active="providers",
        )
    if act != "rest":
        raise NotFound(f"nothing called {act[:40]!r} is done to providers")
    spans = tuple(
        (str(value), word)
        for value, word in ((600, "10 minutes"), (3600, "1 hour"), (6 * 3600, "6 hours"), (24 * 3600, "1 day"))
    )
    return ActForm(
        f"Rest {name}", "Jobs go to the next of their route meanwhile, or wait. Then one job tries it, and it works again or rests on.", path, "/providers",
        "Rest it", fields=(FormField("seconds", "For", "select", "600", options=spans), REASON), active="providers",
    )  # fmt: skip
