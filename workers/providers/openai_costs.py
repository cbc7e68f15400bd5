"""What a call in OpenAI's dialect used and cost: as the server says, else by the prices of the route."""

import math
from collections.abc import Mapping
from typing import Any

from workers.providers.base import ProviderError, whole

COST_LIMIT = 1e9  # dollars: more is no cost of one call
PRICES = ("per_image", "per_1k_tokens_in", "per_1k_tokens_out", "per_call")


def check_prices(options: Mapping[str, Any]) -> None:
    """A price that is no number is found out before the call, not after it was paid for."""
    for name in PRICES:
        price = options.get(f"cost_usd_micros_{name}", 0)
        if isinstance(price, bool) or not isinstance(price, int | float) or not 0 <= price < math.inf:
            raise ProviderError(
                "not_configured", f"the route's cost_usd_micros_{name} is no price", retryable=False, elsewhere=True
            )


def tokens_of(usage: Mapping[str, Any]) -> dict[str, int]:
    """In our names; chat calls them prompt and completion, images input and output. What is not said is left out."""
    counted = {}
    for name, theirs in (("tokens_in", ("prompt_tokens", "input_tokens")),
                         ("tokens_out", ("completion_tokens", "output_tokens"))):  # fmt: skip
        said = next((number for each in theirs if (number := whole(usage.get(each))) is not None), None)
        if said is not None:
            counted[name] = said
    if len(counted) == 2:
        counted["tokens"] = sum(counted.values())
    return counted


def cost_of(
    options: Mapping[str, Any], raw: Mapping[str, Any], usage: Mapping[str, int], images: int = 0
) -> int | None:
    """What the server says in dollars (OpenRouter), else by the route's prices. None if any part of it is unknown."""
    said = raw.get("cost")
    if isinstance(said, int | float) and not isinstance(said, bool) and 0 <= said < COST_LIMIT:
        return round(said * 1_000_000)
    quantities = (images, usage.get("tokens_in"), usage.get("tokens_out"), 1)
    total, priced = 0.0, False
    for name, quantity in zip(PRICES, quantities, strict=True):
        price = options.get(f"cost_usd_micros_{name}")
        if price is None:
            continue
        if quantity is None:
            return None
        priced, total = True, total + price * (quantity / 1000 if "1k" in name else quantity)
    return round(total) if priced else None
