"""Time zones, by their names in the tz database (its package is installed: a bare machine has none of its own)."""

from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field

MAX_NAME = 64
OF_A_MACHINE = (
    "localtime",
    "Factory",
    "posix",
    "right",
)  # how names begin that are no zone's, or none of the database's


def checked(name: str) -> str:
    """Raises ValueError."""
    try:
        known = not name.startswith(OF_A_MACHINE) and len(name) <= MAX_NAME and bool(ZoneInfo(name).key)
    except (ValueError, OSError, KeyError):  # no name, a folder, no such zone
        known = False
    if not known:
        raise ValueError(
            f"there is no time zone {name[:MAX_NAME]!r}; names are such as Europe/Berlin, Asia/Jakarta or UTC"
        )
    return name


TimeZone = Annotated[str, Field(max_length=MAX_NAME), AfterValidator(checked)]
