"""Where our own servers are: one reading of each address, at start. Pure: nothing is resolved or connected to here.

What cannot be read is refused in one sentence that names the setting and never quotes the address, which may hold a
password. Addresses that users give are another matter (common/addresses.py).
"""

import re
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

POSTGRES_PORT, REDIS_PORT, SENTINEL_PORT = 5432, 6379, 26379
AMQP_PORT, AMQPS_PORT = 5672, 5671
# What libpq knows; a test compares it with libpq's own list. `requiressl` and the like are from before PostgreSQL 8.
DATABASE_PARAMETERS = frozenset({
    "application_name", "channel_binding", "client_encoding", "connect_timeout", "dbname", "fallback_application_name",
    "gssdelegation", "gssencmode", "gsslib", "host", "hostaddr", "keepalives", "keepalives_count", "keepalives_idle",
    "keepalives_interval", "krbsrvname", "load_balance_hosts", "max_protocol_version", "min_protocol_version",
    "oauth_client_id", "oauth_client_secret", "oauth_issuer", "oauth_scope", "options", "passfile", "password", "port",
    "replication", "require_auth", "requirepeer", "scram_client_key", "scram_server_key", "service",
    "ssl_max_protocol_version", "ssl_min_protocol_version", "sslcert", "sslcertmode", "sslcompression", "sslcrl",
    "sslcrldir", "sslkey", "sslkeylogfile", "sslmode", "sslnegotiation", "sslpassword", "sslrootcert", "sslsni",
    "target_session_attrs", "tcp_user_timeout", "user",
})  # fmt: skip
SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
REDIS_PARAMETERS = frozenset({
    "client_name", "db", "protocol", "sentinel_password", "sentinel_username", "ssl_ca_certs", "ssl_ca_path",
    "ssl_cert_reqs", "ssl_certfile", "ssl_check_hostname", "ssl_keyfile", "ssl_password",
})  # fmt: skip
BROKER_PARAMETERS = frozenset({"ssl_ca_certs", "ssl_certfile", "ssl_keyfile"})
_HERE = {"", "localhost", "127.0.0.1", "::1"}
_PAIR = re.compile(r"\s*([a-z_]+)\s*=\s*('(?:[^'\\]|\\.)*'|(?!')(?:[^\s\\]|\\.)*)(?=\s|$)", re.DOTALL)
_NAME = re.compile(r"[a-z_][a-z0-9_.]*", re.IGNORECASE)


class UnreadablePlace(ValueError):
    """An address of a setting cannot be read. The message names the setting and what to write, not what stood there."""


class Sentinels(NamedTuple):
    """Those who know where the Redis of a service is now."""

    hosts: tuple[tuple[str, int], ...]
    service: str
    username: str | None
    password: str | None


class RedisPlace(NamedTuple):
    """A Redis: at `host` and `port`, at the Unix socket `path`, or wherever its sentinels say."""

    host: str
    port: int
    path: str | None
    db: int
    username: str | None
    password: str | None
    tls: bool
    options: Mapping[str, str]
    sentinels: Sentinels | None

    @property
    def is_here(self) -> bool:
        """Whether it can only be reached from this machine."""
        return self.path is not None or (self.sentinels is None and self.host in _HERE)


class BrokerPlace(NamedTuple):
    """A RabbitMQ: at the first of `hosts` (name, port) that takes a connection."""

    hosts: tuple[tuple[str, int], ...]
    vhost: str
    username: str | None
    password: str | None
    tls: bool
    options: Mapping[str, str]

    @property
    def is_here(self) -> bool:
        """Whether it can only be reached from this machine."""
        return all(host in _HERE for host, _ in self.hosts)


# PostgreSQL


def database_parameters(address: str) -> dict[str, str]:
    """What libpq is to be told, by its own names, from a URL in any usual spelling (SQLAlchemy's too) or from
    `host=… dbname=…`. `search_path` becomes an option of the session. Raises UnreadablePlace.
    """
    text = address.strip()
    scheme, separator, rest = text.partition("://")
    if separator and re.fullmatch(r"(postgres|postgresql)(\+[a-z0-9_]+)?", scheme, re.IGNORECASE):
        found = _of_database_url(rest)
    elif not separator and "=" in text:
        found = _of_pairs(text)
    else:
        raise UnreadablePlace(
            "DATABASE_URL must begin with postgresql:// (as in postgresql://user:password@host:5432/name), or be "
            "host=… dbname=… pairs"
        )
    path = found.pop("search_path", None)
    if path is not None:
        escaped = re.sub(r"([\\\s])", r"\\\1", path)
        found["options"] = f"{found.get('options', '')} -c search_path={escaped}".strip()
    _check_database(found)
    return found


def _of_database_url(rest: str) -> dict[str, str]:
    head, _, query = rest.partition("?")
    authority, _, name = head.partition("/")
    if "@" not in authority and ("@" in name or "@" in query.partition("&")[0].partition("=")[0]):
        raise UnreadablePlace("DATABASE_URL has a / or a ? in its user or password: write them as %2F and %3F")
    who, _, places = authority.rpartition("@")
    user, _, password = who.partition(":")
    hosts, ports = [], []
    for place in places.split(","):
        host, port = _host_and_port(place, "DATABASE_URL")
        hosts.append(host)
        ports.append(port or "")
    found = {"user": unquote(user), "password": unquote(password), "dbname": unquote(name)}
    found |= {"host": ",".join(map(unquote, hosts)), "port": ",".join(ports) if any(ports) else ""}
    found = {key: value for key, value in found.items() if value}
    given: dict[str, str] = {}
    for key, value in parse_qsl(query.replace("+", "%2B"), keep_blank_values=True):
        # Several hosts as SQLAlchemy has them: ?host=a:5432&host=b:5432
        given[key] = f"{given[key]},{value}" if key == "host" and key in given else value
    if given.get("host") and not given["host"].startswith(("/", "@")) and "port" not in given:
        pairs = [_host_and_port(place, "DATABASE_URL") for place in given["host"].split(",")]
        given["host"] = ",".join(host for host, _ in pairs)
        if any(port for _, port in pairs):
            given["port"] = ",".join(port or "" for _, port in pairs)
    return found | given


def _of_pairs(text: str) -> dict[str, str]:
    found, at = dict[str, str](), 0
    while at < len(text):
        pair = _PAIR.match(text, at)
        if pair is None:
            raise UnreadablePlace(
                "DATABASE_URL is not host=… dbname=… pairs: put values with spaces between single quotes"
            )
        value = pair[2]
        if value.startswith("'"):
            value = value[1:-1]
        found[pair[1]] = re.sub(r"\\(.)", r"\1", value, flags=re.DOTALL)
        at = pair.end()
    return found


def _check_database(found: Mapping[str, str]) -> None:
    for name, value in found.items():
        if name not in DATABASE_PARAMETERS:
            shown = f" called {name[:40]}" if re.fullmatch(r"[a-zA-Z_]+", name) else ""
            raise UnreadablePlace(f"DATABASE_URL has a parameter{shown} that PostgreSQL's client library does not know")
        if "\0" in value:
            raise UnreadablePlace("DATABASE_URL has a NUL in it")
    if (mode := found.get("sslmode")) and mode not in SSL_MODES:
        raise UnreadablePlace(f"DATABASE_URL: sslmode is one of {', '.join(SSL_MODES)}")
    hosts, ports = found.get("host", "").split(","), found.get("port", "").split(",")
    for port in ports:
        _check_port(port, "DATABASE_URL")
    if len(ports) not in {1, len(hosts)}:
        raise UnreadablePlace("DATABASE_URL has another number of ports than of hosts")
    session_settings(found.get("options", ""))


def session_settings(options: str) -> dict[str, str]:
    """The settings in a text of options such as `-c search_path=app --work_mem=64MB`, by name. Raises UnreadablePlace."""
    words = [re.sub(r"\\(.)", r"\1", word) for word in re.findall(r"(?:[^\s\\]|\\.)+", options)]
    found: dict[str, str] = {}
    while words:
        word = words.pop(0)
        if word == "-c" and words:
            word = words.pop(0)
        elif word.startswith(("--", "-c")):
            word = word[2:]
        else:
            raise UnreadablePlace("DATABASE_URL: options has settings only, each as -c name=value")
        name, equals, value = word.partition("=")
        name = name.replace("-", "_")
        if not equals or not _NAME.fullmatch(name):
            raise UnreadablePlace("DATABASE_URL: options has settings only, each as -c name=value")
        found[name] = value
    return found


def database_is_here(found: Mapping[str, str]) -> bool:
    """Whether a database can only be reached from this machine: by its own address, or a Unix socket."""
    hosts = (found.get("hostaddr") or found.get("host", "")).split(",")
    return "service" not in found and all(host in _HERE or host.startswith(("/", "@")) for host in hosts)


# Redis


def redis_place(address: str) -> RedisPlace:
    """`redis://`, `rediss://` (TLS), `unix:///path`, or `redis+sentinel://host:port,host:port/service/db` (`rediss+…`).

    Raises UnreadablePlace.
    """
    scheme, rest = _redis_scheme(address.strip())
    head, _, query = rest.partition("?")
    authority, _, path = head.partition("/")
    if "@" not in authority and "@" in path and scheme != "unix":
        raise UnreadablePlace("REDIS_URL has a / in its user or password: write it as %2F")
    if "#" in rest:
        raise UnreadablePlace("REDIS_URL has a # in it: write it as %23")
    who, _, hosts = authority.rpartition("@")
    user, _, password = who.partition(":")
    options = _redis_options(query)
    sentinels, host, port, socket = None, "", REDIS_PORT, None
    if scheme == "unix":
        socket, path = f"/{unquote(path)}", ""
    elif scheme.endswith("+sentinel"):
        service, _, path = path.partition("/")
        sentinels = _sentinels(hosts, unquote(service), options)
    else:
        host, port = _one_redis(hosts)
    number = options.pop("db", "") or path.strip("/")
    if number and not (number.isascii() and number.isdigit() and len(number) < 6):
        raise UnreadablePlace("REDIS_URL: what follows the host is the number of a database, such as /0")
    own = {name: value for name, value in options.items() if not name.startswith("sentinel_")}
    return RedisPlace(
        host, port, socket, int(number or 0), unquote(user) or None, unquote(password) or None,
        scheme.startswith("rediss"), own, sentinels,
    )  # fmt: skip


def _redis_scheme(text: str) -> tuple[str, str]:
    scheme, separator, rest = text.partition("://")
    scheme = scheme.lower().replace("valkey", "redis")
    if scheme in {"redis-sentinel", "sentinel"}:
        scheme = "redis+sentinel"
    if not separator or scheme not in {"redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel"}:
        raise UnreadablePlace(
            "REDIS_URL must begin with redis://, rediss://, unix:// or redis+sentinel:// (as in redis://:password@host:6379/0)"
        )
    return scheme, rest


def _redis_options(query: str) -> dict[str, str]:
    options = dict(parse_qsl(query.replace("+", "%2B"), keep_blank_values=True))
    for name in options:
        if name not in REDIS_PARAMETERS:
            shown = f" called {name[:40]}" if re.fullmatch(r"[a-zA-Z_]+", name) else ""
            raise UnreadablePlace(f"REDIS_URL has a parameter{shown} that is not known")
    return options


def _one_redis(text: str) -> tuple[str, int]:
    if "," in text:
        raise UnreadablePlace("REDIS_URL names several hosts: only redis+sentinel:// does")
    host, port = _host_and_port(text, "REDIS_URL")
    _check_port(port or "", "REDIS_URL")
    if not host:
        raise UnreadablePlace("REDIS_URL names no host")
    return unquote(host), int(port or REDIS_PORT)


def _sentinels(places: str, service: str, options: Mapping[str, str]) -> Sentinels:
    if not service:
        raise UnreadablePlace("REDIS_URL names no service: redis+sentinel://host:26379,host2:26379/service/0")
    hosts = []
    for place in places.split(","):
        host, port = _host_and_port(place, "REDIS_URL")
        _check_port(port or "", "REDIS_URL")
        if not host:
            raise UnreadablePlace("REDIS_URL names no sentinel: redis+sentinel://host:26379,host2:26379/service/0")
        hosts.append((unquote(host), int(port or SENTINEL_PORT)))
    return Sentinels(
        tuple(hosts), service, options.get("sentinel_username") or None, options.get("sentinel_password") or None
    )


# RabbitMQ


def broker_place(address: str) -> BrokerPlace:
    """`amqp://user:password@host:port,host2:port/vhost`, or `amqps://` (TLS). Without a vhost it is `/`, which is written `%2F`.

    Raises UnreadablePlace.
    """
    scheme, separator, rest = address.strip().partition("://")
    if not separator or scheme.lower() not in {"amqp", "amqps"}:
        raise UnreadablePlace(
            "BROKER_URL must begin with amqp:// or amqps:// (as in amqp://user:password@host:5672/vhost)"
        )
    if "#" in rest:
        raise UnreadablePlace("BROKER_URL has a # in it: write it as %23")
    head, _, query = rest.partition("?")
    authority, _, vhost = head.partition("/")
    if "/" in vhost or ("@" not in authority and "@" in vhost):
        raise UnreadablePlace("BROKER_URL has a / in its user, password or vhost: write it as %2F")
    options = dict(parse_qsl(query.replace("+", "%2B"), keep_blank_values=True))
    if not options.keys() <= BROKER_PARAMETERS:
        raise UnreadablePlace(
            f"BROKER_URL has a parameter that is not known; there are {', '.join(sorted(BROKER_PARAMETERS))}"
        )
    who, _, hosts = authority.rpartition("@")
    user, _, password = who.partition(":")
    tls = scheme.lower() == "amqps"
    found = tuple(_one_broker(each, AMQPS_PORT if tls else AMQP_PORT) for each in hosts.split(","))
    return BrokerPlace(found, unquote(vhost) or "/", unquote(user) or None, unquote(password) or None, tls, options)


def _one_broker(text: str, usual_port: int) -> tuple[str, int]:
    host, port = _host_and_port(text, "BROKER_URL")
    _check_port(port or "", "BROKER_URL")
    if not host:
        raise UnreadablePlace("BROKER_URL names no host")
    return unquote(host), int(port or usual_port)


# The web


def web_address(name: str, address: str, *, bare: bool = True) -> SplitResult:
    """The parts of an http or https URL that a setting holds. `bare`: without a query. Raises UnreadablePlace."""
    example = f"{name} must be a URL such as https://host.example.com"
    try:
        parts = urlsplit(address.strip())
        port = parts.port
    except ValueError:
        raise UnreadablePlace(example) from None
    if (
        parts.scheme not in {"http", "https"}
        or not parts.hostname
        or port == 0
        or re.search(r"[\s\\]", address.strip())
    ):
        raise UnreadablePlace(example)
    if "@" in parts.netloc:
        raise UnreadablePlace(f"{name} must not hold a user name or password")
    if bare and (parts.query or parts.fragment):
        raise UnreadablePlace(f"{name} must end with its path, without ? or #")
    return parts


def mail_server(address: str) -> None:
    """Raises UnreadablePlace for a SMTP_URL that names no server of a kind that is known."""
    try:
        parts = urlsplit(address)
        known = parts.scheme in {"smtp", "smtps", "smtp+starttls"} and parts.hostname and parts.port != 0
    except ValueError:
        known = False
    if not known:
        raise UnreadablePlace(
            "SMTP_URL must be smtp://, smtp+starttls:// or smtps://user:password@host:port, with / @ : in the password as %2F %40 %3A"
        )


def _host_and_port(place: str, setting: str) -> tuple[str, str | None]:
    """A host, without the brackets of an IPv6 address, and the text of its port."""
    if place.startswith("["):
        host, closed, port = place[1:].partition("]")
        if not closed or (port and not port.startswith(":")):
            raise UnreadablePlace(f"{setting}: an IPv6 address stands between brackets, as in [::1]:5432")
        return host, port[1:] or None
    if place.count(":") > 1:
        raise UnreadablePlace(f"{setting}: an IPv6 address stands between brackets, and : in a password is %3A")
    host, _, port = place.partition(":")
    return host, port or None


def _check_port(port: str, setting: str) -> None:
    if port and not (port.isascii() and port.isdigit() and 0 < int(port[:9]) < 65536):
        raise UnreadablePlace(
            f"{setting}: the port must be a number from 1 to 65535 (and / @ : in a password are %2F %40 %3A)"
        )
