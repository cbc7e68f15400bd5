"""Time zones, by their names in the tz database (its package is installed: a bare machine has none of its own)."""

from functools import cache
from typing import Annotated
from zoneinfo import available_timezones

from pydantic import AfterValidator, Field

MAX_NAME = 64


@cache
def names() -> frozenset[str]:
    """All of them, but for those that name a machine's own."""
    return frozenset(name for name in available_timezones() if name not in {"localtime", "Factory"})


def checked(name: str) -> str:
    """Raises ValueError."""
    if name not in names():
        raise ValueError(
            f"there is no time zone {name[:MAX_NAME]!r}; names are such as Europe/Berlin, Asia/Jakarta or UTC"
        )
    return name


TimeZone = Annotated[str, Field(max_length=MAX_NAME), AfterValidator(checked)]
