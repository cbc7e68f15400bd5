"""Where a request comes from: the one place that says so, for the audit log, and for whatever is counted by address.

Behind a proxy that FORWARDED_ALLOW_IPS lists, uvicorn has put the address that the proxy tells of into the scope; nobody
else's `X-Forwarded-For` is believed.
"""

from collections.abc import Mapping
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any

UNKNOWN = "unknown"  # a Unix socket, a proxy that tells nothing
MAX_CHARACTERS = 64  # of what is no address: a proxy may hand on whatever it was sent
NETWORK_BITS = 64  # of an IPv6 address: a household has all the rest to itself, and could count from one for ever


def address_of(scope: Mapping[str, Any]) -> str | None:
    """The address that asks, as it is written down. None: there is none."""
    client = scope.get("client")
    return client[0][:MAX_CHARACTERS] if client and client[0] else None


def network_of(scope: Mapping[str, Any]) -> str:
    """What is counted as one address: an IPv4 address, however it is written, or an IPv6 network of 64 bits."""
    text = address_of(scope)
    if text is None:
        return UNKNOWN
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return text
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ip_network((int(address), NETWORK_BITS), strict=False))
