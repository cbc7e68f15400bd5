"""The providers of this deployment as a worker process knows them: read from the database, made once, made anew when
their entry changes.
"""

import threading
import time
from typing import NamedTuple

from common.settings import environment, settings
from models.catalogue.providers import BUILT_IN, ProviderEntry, ProviderLimits, providers
from models.db import transaction
from workers.providers.base import Endpoint, Provider, ProviderError
from workers.providers.registry import ADAPTERS


class KnownProvider(NamedTuple):
    """A provider, ready to be asked."""

    entry: ProviderEntry
    provider: Provider
    has_key: bool  # or needs none


class Roster:
    """Providers by name. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, KnownProvider] = {}
        self._entries: dict[str, ProviderEntry] = {}
        self._read_at = float("-inf")

    def find(self, name: str) -> KnownProvider:
        """The provider of this name. Raises ProviderError where there is none."""
        if name == BUILT_IN and name in self._known:
            return self._known[name]  # nothing of it can change
        with self._lock:
            if time.monotonic() - self._read_at > settings().catalogue_refresh_seconds or name not in self._entries:
                with transaction() as conn:
                    self._entries = providers(conn)
                self._read_at = time.monotonic()
            entry = self._entries.get(name)
            if entry is None:
                raise ProviderError(
                    "unknown_provider", f"there is no provider {name!r}", retryable=False, elsewhere=True
                )
            known = self._known.get(name)
            if known is None or known.entry != entry:
                known = self._known[name] = _made(entry)
            return known

    def limits(self, name: str) -> ProviderLimits:
        """How much it may be asked; without limits where it is not known: asking it will say so."""
        try:
            return self.find(name).entry.limits
        except ProviderError:
            return ProviderLimits()


def _made(entry: ProviderEntry) -> KnownProvider:
    found = environment()
    secret = entry.secret(found)
    endpoint = Endpoint(
        entry.name,
        entry.base_url or "",
        secret.get_secret_value() if secret else None,
        entry.options_with_secrets(found),
    )
    return KnownProvider(entry, ADAPTERS[entry.adapter](endpoint), entry.key is None or secret is not None)
