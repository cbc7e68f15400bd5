"""Versions of what editors change: whoever has seen an older one is told, and overwrites nothing."""

from common.errors import VersionChanged


def check_version(seen: int | None, now: int, what: str) -> None:
    """`seen`: the version that an editor has seen; None: any. Under the lock of what is changed. Raises VersionChanged."""
    if seen is not None and seen != now:
        raise VersionChanged(
            f"version {seen} was changed meanwhile; this {what} is at version {now}", param="If-Match", version=now
        )
