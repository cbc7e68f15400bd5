"""What a host is, in whatever spelling it is written: this machine itself, or where a cloud keeps a machine's secrets.

For our own settings. Addresses of users are read more strictly (common/addresses.py): there an odd spelling is refused.
Pure: nothing is resolved here.
"""

import re
import socket
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.parse import unquote

import idna

Address = IPv4Address | IPv6Address
_METADATA_NAMES = {
    "metadata", "metadata.google.internal", "metadata.goog", "instance-data", "instance-data.ec2.internal",
    "metadata.tencentyun.com", "metadata.azure.internal", "metadata.azure.com", "metadata.packet.net",
    "metadata.platformequinix.com", "metadata.cherryservers.com", "metadata.nic.oraclecloud.com",
}  # fmt: skip
_METADATA_NETWORKS = tuple(
    IPv4Network(text)
    for text in (
        "169.254.0.0/16",  # nearly all clouds, and the containers of AWS
        "100.100.100.200/32",  # Alibaba
        "168.63.129.16/32",  # Azure's wire server
        "192.0.0.192/32",  # Oracle's older machines
    )
)
_METADATA_NETWORKS_V6 = tuple(
    IPv6Network(text)
    for text in (
        "fd00:ec2::/32",  # AWS: the machine's data, its pods' credentials, its clock
        "fd20:ce::254/128",  # Google
        "fd00:42::42/128",  # Scaleway
        "fe80::/10",
    )
)
_NAT64 = IPv6Network("64:ff9b::/96")
_LOOPBACK_NAMES = {"localhost", "localhost.localdomain", "localhost6", "ip6-localhost", "ip6-loopback"}
# Names that answer with the address that is written in them, such as 169-254-169-254.sslip.io or a9fea9fe.nip.io.
_WRITTEN = re.compile(
    r"(?:^|[.-])(\d{1,3})[.-](\d{1,3})[.-](\d{1,3})[.-](\d{1,3})(?=[.-])|(?:^|[.-])([0-9a-f]{8})(?=\.)"
)


def is_metadata(host: str) -> bool:
    """Whether a cloud answers there with a machine's secrets: its role's keys, its user data."""
    name = _name(host)
    address = _address(name)
    if address is not None:
        return _is_metadata(address)
    return name in _METADATA_NAMES or any(_is_metadata(each) for each in _written(name))


def is_this_machine(host: str) -> bool:
    """Whether a host can only be this machine itself: loopback, or every address of it (0.0.0.0) as a place to go to."""
    name = _name(host)
    address = _address(name)
    if address is not None:
        return any(each.is_loopback or each.is_unspecified for each in _meant(address))
    return name in _LOOPBACK_NAMES or name.endswith(".localhost")


def is_loopback(host: str) -> bool:
    """Whether who listens there is reached by this machine only."""
    name = _name(host)
    address = _address(name)
    return name in _LOOPBACK_NAMES if address is None else any(each.is_loopback for each in _meant(address))


def _is_metadata(address: Address) -> bool:
    return any(
        any(each in network for network in _METADATA_NETWORKS)
        if isinstance(each, IPv4Address)
        else any(each in network for network in _METADATA_NETWORKS_V6)
        for each in _meant(address)
    )


def _name(host: str) -> str:
    """A host in its plainest spelling: full-width digits and dots are what a resolver makes of them."""
    text = unquote(host).strip().strip("[]").lower()
    if not text.isascii():
        try:
            text = idna.uts46_remap(text, std3_rules=False, transitional=False)
        except idna.IDNAError:
            return text
    return text.rstrip(".")


def _address(name: str) -> Address | None:
    """What a name is if it is an address: also as one number, in hex, in octal, with parts left out, or with a zone."""
    try:
        return ip_address(name.partition("%")[0])
    except ValueError:
        pass
    if not re.fullmatch(r"[0-9a-fx.]+", name) or not re.search(r"(^|\.)(0x[0-9a-f]*|[0-9]+)$", name):
        return None
    try:
        return IPv4Address(socket.inet_aton(name))  # as every resolver reads it
    except OSError:
        return None


def _meant(address: Address) -> list[Address]:
    """An address, and the IPv4 address that it carries if it does."""
    if isinstance(address, IPv4Address):
        return [address]
    inner = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if address in _NAT64 or int(address) >> 32 == 0 or (int(address) >> 32) & 0xFDFFFFFF == 0x00005EFE:
        inner.append(IPv4Address(int(address) & 0xFFFFFFFF))
    return [address, *(each for each in inner if each is not None)]


def _written(name: str) -> list[Address]:
    found: list[Address] = []
    for match in _WRITTEN.finditer(name):
        parts = match.groups()
        if parts[4] is not None:
            found.append(IPv4Address(int(parts[4], 16)))
        elif all(int(part) < 256 for part in parts[:4]):
            found.append(IPv4Address(".".join(str(int(part)) for part in parts[:4])))
    return found
