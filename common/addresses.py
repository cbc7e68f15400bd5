"""Where an address given by a user leads, and whether that is a public place. Pure: nothing is resolved here.

Written out instead of trusting `ipaddress.is_global`, whose answers changed between patch releases of Python 3.11, and
stricter than a browser: an address that has an odd spelling (0x7f.1, 2130706433, 0177.0.0.1) is refused, not understood.
"""

import logging
import re
from collections.abc import Collection
from ipaddress import AddressValueError, IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import NamedTuple
from urllib.parse import quote, urlsplit

import idna

from common.hosts import Address

log = logging.getLogger(__name__)

MAX_URL_CHARACTERS = 8192  # signed addresses of buckets are long
PORTS = {"http": 80, "https": 443}
FIRST_FREE_PORT = 1024  # below it only the two of the web: mail and shell servers understand enough HTTP to be abused

_V4_REFUSED = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
        "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
        "224.0.0.0/4", "240.0.0.0/4",
        "168.63.129.16/32",  # Azure answers its machines there, and only them
    )
)  # fmt: skip
_V6_PUBLIC = IPv6Network("2000::/3")  # all that was ever given out
# 2001::/23 holds Teredo, which leads to two IPv4 addresses behind somebody's NAT: no server is reached so.
_V6_REFUSED = tuple(IPv6Network(text) for text in ("2001::/23", "2001:db8::/32", "3fff::/20"))
_NAT64 = IPv6Network("64:ff9b::/96")
_ISATAP = {0x00005EFE, 0x02005EFE}
_LOCAL_NAMES = (
    "localhost",
    "local",
    "localdomain",
    "internal",
    "intranet",
    "lan",
    "home.arpa",
    "in-addr.arpa",
    "ip6.arpa",
)
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")


class AddressRefused(Exception):
    """An address is not fetched, or not to its end. Codes: refused_address, unreachable, too_slow, too_large, bad_status,
    bad_encoding.

    The message is fit for the user who gave the address: it tells nothing of what lies inside our network.
    """

    def __init__(self, code: str, message: str, *, retryable: bool = False, status: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retryable = retryable
        self.status = status


class Target(NamedTuple):
    """A URL taken apart and written in the one usual way."""

    scheme: str
    host: str  # an ASCII name in lower case without a dot at its end, or an IP address without brackets
    port: int
    path: str  # with the query
    address: Address | None  # where the host is an IP address
    allowed: bool  # named by the operator, and so wherever it is

    @property
    def authority(self) -> str:
        """As the Host header has it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.authority}{self.path}"


def parse(url: str, allow: Collection[str] = ()) -> Target:
    """Take a URL apart and refuse what needs no resolver to be refused. `allow` has `host:port` texts.

    Raises AddressRefused (refused_address).
    """
    if len(url) > MAX_URL_CHARACTERS:
        raise _refused(f"the address has more than {MAX_URL_CHARACTERS} characters")
    if any(character <= " " or character in "\\\x7f" for character in url):
        raise _refused("the address has a space, a backslash or a control character in it")
    try:
        url.encode()
        parts = urlsplit(url)
        host_text, port = parts.hostname or "", parts.port
    except ValueError:
        raise _refused("the address is not a URL") from None
    if parts.scheme not in PORTS:
        raise _refused("the address must begin with http:// or https://")
    if "@" in parts.netloc:
        raise _refused("the address must not hold a user name or password")
    host, address = _host(host_text, bracketed="[" in parts.netloc)
    port = PORTS[parts.scheme] if port is None else port
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=-._~")
    if parts.query:
        path += "?" + quote(parts.query, safe="/%:@!$&'()*+,;=-._~?")
    target = Target(parts.scheme, host, port, path, address, f"{host}:{port}" in allow)
    if not target.allowed:
        _check(target)
    return target


def place_of(url: str) -> str | None:
    """The `host:port` of a URL that the operator gave, wherever it is, as `allow` has it. None: it has none."""
    try:
        parts = urlsplit(url)
        host, _ = _host(parts.hostname or "", bracketed="[" in parts.netloc)
        port = parts.port
    except (ValueError, AddressRefused):
        return None
    return f"{host}:{PORTS[parts.scheme] if port is None else port}" if parts.scheme in PORTS else None


def _check(target: Target) -> None:
    if target.port not in PORTS.values() and target.port < FIRST_FREE_PORT:
        raise _refused(f"port {target.port} is not one that is fetched from")
    if target.address is not None:
        if not is_public(target.address):
            raise _not_public()
    elif "." not in target.host or any(
        target.host == name or target.host.endswith("." + name) for name in _LOCAL_NAMES
    ):
        raise _not_public()


def _host(text: str, *, bracketed: bool) -> tuple[str, Address | None]:
    """The host in its usual spelling, and what it is if it is an IP address."""
    if "%" in text:
        raise _refused("the host has a percent sign in it")
    if bracketed or ":" in text:
        try:
            address = IPv6Address(text)
        except AddressValueError:
            raise _refused("the host is not an IPv6 address") from None
        return str(address), address
    name = _ascii(text).removesuffix(".")
    labels = name.split(".")
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise _refused("the host is not a name")
    if _NUMBER.fullmatch(labels[-1]):  # no top-level domain is a number: an IPv4 address in some spelling
        try:
            four = IPv4Address(name)
        except AddressValueError:
            raise _refused("the host is an IP address in an unusual spelling") from None
        return str(four), four
    return name, None


def _ascii(text: str) -> str:
    """A name as it stands in DNS. Full-width digits and dots become plain ones here, before anything is compared."""
    if text.isascii():
        return text.lower()
    try:
        return idna.encode(text, uts46=True).decode("ascii").lower()
    except idna.IDNAError:
        raise _refused("the host is not a name") from None


def is_public(address: Address) -> bool:
    """Whether an address lies in the public internet. One that carries an IPv4 address inside must carry a public one."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _V4_REFUSED)
    if address.ipv4_mapped is not None:
        return is_public(address.ipv4_mapped)
    if address in _NAT64:
        return is_public(IPv4Address(int(address) & 0xFFFFFFFF))
    if address.sixtofour is not None:
        return is_public(address.sixtofour)
    if (int(address) >> 32) & 0xFFFFFFFF in _ISATAP and not is_public(IPv4Address(int(address) & 0xFFFFFFFF)):
        return False
    return address in _V6_PUBLIC and not any(address in network for network in _V6_REFUSED)


def public_addresses(host: str, found: Collection[str]) -> list[str]:
    """What a resolver answered, if every address of it is public. Raises AddressRefused.

    One private address among public ones refuses the name: nobody has both by accident. That a name leads inside is said
    in the words in which it is said that there is no such name (`nowhere`): whoever asks learns nothing of our network.
    """
    addresses = []
    for text in found:
        try:
            addresses.append(ip_address(text))
        except ValueError:  # one with a zone, such as fe80::1%eth0
            raise nowhere(host, found) from None
    if not addresses or not all(is_public(address) for address in addresses):
        raise nowhere(host, found)
    return [str(address) for address in addresses]


def nowhere(host: str, found: Collection[str]) -> AddressRefused:
    """A name that leads to no public place: there is none, or it is ours. Which it is, only the operator's log says."""
    log.info("the name %r is not fetched from: it leads to %s", host, ", ".join(found) or "nowhere")
    return AddressRefused("unreachable", "the host has no public address that can be reached", retryable=True)


def _not_public() -> AddressRefused:
    return _refused("the host is not a public address")


def _refused(message: str) -> AddressRefused:
    return AddressRefused("refused_address", message)
