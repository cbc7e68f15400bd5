"""Retry-After, as a far side sends it."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

MAX_SECONDS = 86_400.0
MAX_CHARACTERS = 100  # of what a stranger writes there


def seconds_asked(headers: Mapping[str, str]) -> float | None:
    """How long they ask us to stay away, as seconds or as a date, a day at most. None where there is none, or nonsense.
    Names of headers are in lower case, or it does not matter.
    """
    given = headers.get("retry-after", "").strip()[:MAX_CHARACTERS]
    if not given:
        return None
    try:
        seconds = float(given)
    except ValueError:
        try:
            when = parsedate_to_datetime(given)
            seconds = ((when if when.tzinfo else when.replace(tzinfo=UTC)) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError, OverflowError, IndexError):  # a year that no clock has is no date either
            return None
    return None if math.isnan(seconds) else min(max(seconds, 0.0), MAX_SECONDS)
