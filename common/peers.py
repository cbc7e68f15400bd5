"""Who counts as one stranger: an address, or the /64 that one subscriber of IPv6 has to themselves."""

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network


@lru_cache(maxsize=4096)
def peer_of(host: str) -> str:
    """What an address is counted under. Text that is no address counts as itself."""
    address = _read(host)
    if isinstance(address, IPv6Address):
        return str(ip_network((address, 64), strict=False))
    return host[:100] if address is None else str(address)


def plain(host: str) -> str:
    """An address as its owner would write it: not as IPv6 where it is one of IPv4."""
    address = _read(host)
    return host if address is None else str(address)


def _read(host: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
