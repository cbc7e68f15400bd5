"""Where a request comes from: the one place that says so, for the audit log, and for whatever is counted by address.

Behind a proxy that TRUSTED_PROXIES lists, uvicorn has put the address that the proxy tells of into the scope; nobody
else's `X-Forwarded-For` is believed.
"""

from collections.abc import Mapping
from typing import Any

from common.peers import peer_of

UNKNOWN = "unknown"  # a Unix socket, a proxy that tells nothing
MAX_CHARACTERS = 64  # of what is no address: a proxy may hand on whatever it was sent


def address_of(scope: Mapping[str, Any]) -> str | None:
    """The address that asks, as it is written down. None: there is none."""
    client = scope.get("client")
    return client[0][:MAX_CHARACTERS] if client and client[0] else None


def network_of(scope: Mapping[str, Any]) -> str:
    """What is counted as one address: an IPv4 address, however it is written, or an IPv6 network of 64 bits."""
    text = address_of(scope)
    return UNKNOWN if text is None else peer_of(text)
