"""How figures, times and names are written on pages. Pure. Times are UTC."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from common.money import shown as money_shown
from models.credits.reads import Balance

MINUTE, HOUR, DAY = 60, 3600, 86_400
NOTHING = "–"
SPLIT_WIDTH = 1000  # of the drawing of a balance, in its own units
MINUS = "\N{MINUS SIGN}"
# The states that are shown by an icon and a colour, and what stands beside them.
STATE_LOOKS: dict[str, tuple[str, str]] = {
    "queued": ("queued", "queued"), "running": ("running", "running"), "reconciling": ("reconciling", "reconciling"),
    "succeeded": ("succeeded", "succeeded"), "failed": ("failed", "failed"), "canceled": ("canceled", "canceled"),
    "ok": ("ok", "ok"), "resting": ("limit", "resting"), "full": ("limit", "full"), "paused": ("limit", "paused"),
    "draining": ("limit", "draining"), "silent": ("failed", "failed"), "late": ("limit", "clock"), "waiting": ("queued", "queued"),
    "pending": ("queued", "queued"), "delivered": ("succeeded", "succeeded"), "paid": ("succeeded", "succeeded"),
    "expired": ("canceled", "expire"), "refunded": ("queued", "refund"), "disputed": ("failed", "warn"), "on": ("ok", "ok"),
    "off": ("canceled", "canceled"), "done": ("succeeded", "succeeded"), "stopped": ("canceled", "canceled"),
    "suspended": ("failed", "canceled"), "stored": ("ok", "ok"), "abandoned": ("failed", "failed"), "intent": ("queued", "queued"),
    "accepted": ("running", "running"), "unknown": ("reconciling", "reconciling"), "dead": ("failed", "failed"),
}  # fmt: skip
ENTRY_LOOKS: dict[str, tuple[str, str, str]] = {
    "grant": ("succeeded", "grant", "Granted"), "reserve": ("running", "reserve", "Reserved"),
    "settle": ("plain", "settle", "Settled"), "refund": ("queued", "refund", "Refunded"),
    "expire": ("canceled", "expire", "Expired"), "revoke": ("failed", "revoke", "Revoked"),
}  # fmt: skip


def state_look(name: str) -> tuple[str, str]:
    """The colour and the icon of a state."""
    return STATE_LOOKS.get(name, ("plain", "flag"))


def entry_look(kind: str) -> tuple[str, str, str]:
    """The colour, the icon and the word of a ledger entry."""
    return ENTRY_LOOKS.get(kind, ("plain", "flag", kind.capitalize()))


def number(value: float | None) -> str:
    """As 1,234."""
    return NOTHING if value is None else f"{value:,.0f}"


def counted_as(value: int, one: str, many: str | None = None) -> str:
    """As 1 job, 2 jobs."""
    return f"{value:,} {one if value == 1 else many or one + 's'}"


def lasting_seconds(seconds: float | None) -> str:
    """A span as people say it: 0.4 s, 18 s, 3 min 5 s, 2 h 4 min, 5 days."""
    if seconds is None:
        return NOTHING
    if seconds < 10:
        return f"{max(0.0, seconds):.1f} s".replace(".0 s", " s")
    whole = round(seconds)
    if whole < MINUTE:
        return f"{whole} s"
    if whole < HOUR:
        return f"{whole // MINUTE} min" + (f" {whole % MINUTE} s" if whole % MINUTE and whole < 10 * MINUTE else "")
    if whole < 2 * DAY:
        return f"{whole // HOUR} h" + (f" {whole % HOUR // MINUTE} min" if whole % HOUR // MINUTE else "")
    return f"{whole // DAY} days"


def coarsely(seconds: float) -> str:
    """A span in its largest unit: 18 s, 3 min, 2 h, 5 days."""
    for size_of_unit, unit in ((2 * DAY, "days"), (2 * HOUR, "h"), (MINUTE, "min")):
        if seconds >= size_of_unit:
            return f"{seconds // {'days': DAY, 'h': HOUR, 'min': MINUTE}[unit]:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def span(begins: datetime | None, ends: datetime | None) -> float | None:
    """The seconds between two moments, where both are known."""
    return None if begins is None or ends is None else (ends - begins).total_seconds()


def ago(moment: datetime | None, now: datetime) -> str:
    """How long ago something was; the date once that says more."""
    if moment is None:
        return NOTHING
    passed = (now - moment).total_seconds()
    return f"{coarsely(passed)} ago" if passed < 2 * DAY else day(moment)


def until(moment: datetime | None, now: datetime) -> str:
    """How long until something is due."""
    if moment is None:
        return NOTHING
    left = (moment - now).total_seconds()
    return f"in {coarsely(left)}" if left > 0 else "now"


def day(moment: datetime) -> str:
    """As 26 Nov 2026."""
    there = moment.astimezone(UTC)
    return f"{there.day} {there:%b %Y}"


def at(moment: datetime | None, now: datetime) -> str:
    """The time of a day, with its date when it is not today."""
    if moment is None:
        return NOTHING
    there = moment.astimezone(UTC)
    return f"{there:%H:%M:%S}" if there.date() == now.astimezone(UTC).date() else f"{day(there)}, {there:%H:%M}"


def offset(moment: datetime, origin: datetime) -> str:
    """Where on a job's line of time something was: 0.00 s, 43.66 s, 3 min 5 s."""
    seconds = max(0.0, (moment - origin).total_seconds())
    return f"{seconds:.2f} s" if seconds < MINUTE else lasting_seconds(seconds)


def short(value: UUID | str) -> str:
    """The ends of an id."""
    text = str(value)
    return f"{text[:8]}…{text[-4:]}" if len(text) > 16 else text


def dollars(micros: float | None) -> str:
    """As $12.30, of millionths; small sums with the digits that they have."""
    if micros is None:
        return NOTHING
    size = abs(micros) / 1_000_000
    text = f"{size:,.2f}" if size >= 1 or not size else f"{size:.4f}".rstrip("0").ljust(4, "0")
    return f"{MINUS if micros < 0 else ''}${text}"


def percent(part: float | None, whole: float | None = 1.0) -> str:
    """As 4 %, or 0.9 %."""
    if part is None or not whole:
        return NOTHING
    value = 100 * part / whole
    return f"{value:.0f} %" if value >= 10 or not value else f"{value:.1f} %"


def size(count: float | None) -> str:
    """As 1.4 MB."""
    if count is None:
        return NOTHING
    for unit, step in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= step:
            return f"{count / step:.1f} {unit}".replace(".0 ", " ")
    return f"{count:.0f} B"


def in_one_line(text: str, most: int = 160) -> str:
    """A stranger's text, where there is room for one line of it."""
    plain = " ".join(text.split())
    return plain if len(plain) <= most else plain[: most - 1].rstrip() + "…"


def title_of(values: Mapping[str, Any]) -> str | None:
    """What a job is called: the text in its input that somebody wrote."""
    for name in ("prompt", "text", "lyrics", "title", "query", "input"):
        found = values.get(name)
        if isinstance(found, str) and found.strip():
            return in_one_line(found)
    longest = max((each for each in values.values() if isinstance(each, str)), key=len, default="")
    return in_one_line(longest) if longest.strip() else None


def written_json(value: Any) -> str:
    """As people read it."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


def plainly(name: str) -> str:
    """A name of ours as words: `provider_timeout` is provider timeout."""
    return name.replace("_", " ").replace(".", " ")


def local_text(moment: datetime) -> str:
    """A moment as a field of a form takes it: UTC, to the minute."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M")


def later(now: datetime, seconds: float) -> datetime:
    """A moment after another."""
    return now + timedelta(seconds=seconds)


def local(address: str) -> str:
    """Where a file lies on this very server, of its address: a page may load nothing from elsewhere."""
    return "/files/" + address.rpartition("/files/")[2]


def split_of(balance: Balance) -> tuple[int, int] | None:
    """How wide what is available and what is reserved are drawn. None: there is nothing to draw."""
    whole = balance.available + balance.reserved
    if not whole:
        return None
    held = max(8, round(SPLIT_WIDTH * balance.reserved / whole)) if balance.reserved else 0
    return SPLIT_WIDTH - held, held


FILTERS = {
    "number": number, "lasting": lasting_seconds, "coarse": coarsely, "short": short, "dollars": dollars, "size": size, "day": day,
    "line": in_one_line, "json": written_json, "plainly": plainly, "money": money_shown, "local": local,
}  # fmt: skip
