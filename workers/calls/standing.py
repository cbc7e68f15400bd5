"""How the providers stand, as operators are shown it."""

from typing import Any

from models.catalogue.providers import providers
from models.db import transaction
from workers.calls.limits import pressure


def provider_rows() -> list[dict[str, Any]]:
    """How the providers stand; empty where Redis is away."""
    with transaction() as conn:
        limits = {name: entry.limits for name, entry in providers(conn).items()}
    return [
        {
            "provider": name, "slots_used": state.slots_used, "slots": limits[name].concurrency,
            "calls_last_minute": state.calls_last_minute, "per_minute": limits[name].per_minute, "faults": state.faults,
            "resting_seconds": state.resting_seconds, "limited_seconds": state.limited_seconds,
            "on_trial": state.half_open,
        }
        for name, state in (pressure().states(limits) or {}).items()
    ]  # fmt: skip
