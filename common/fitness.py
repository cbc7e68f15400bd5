"""What in the settings is not fit for strangers: secrets that can be guessed, ways that can be listened to, places that
must not be reached. All of it is said at once, in sentences that hold no secret. Pure.
"""

import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr

from common import places
from common.hosts import is_loopback, is_metadata, is_this_machine

DEVELOPMENT_SECRET = "development-only-secret-key"  # noqa: S105 - refused below
MIN_SECRET = 32
MIN_VARIETY = (
    8  # different characters, and different steps from one to the next; random ones of 32 hex digits have more
)
MIN_UNIT = 16  # what is said again and again is as good as what is said once
MAKE_ONE = "python -c 'import secrets; print(secrets.token_hex(32))'"

_PLACEHOLDERS = (
    "changeme", "changethis", "changeit", "replaceme", "placeholder", "developmentonly", "insecure", "password",
    "passw0rd", "yoursecret", "yourkey", "supersecret", "qwerty", "letmein", "minioadmin", "12345678",
)  # fmt: skip
_COMMON = {
    "admin", "app", "default", "example", "foobar", "guest", "headrace", "mysecret", "pass", "postgres", "redis", "root",
    "secret", "test", "valkey", "1234", "12345", "123456", "1234567",
}  # fmt: skip

OF_COMPANIES = (
    "xendit_url", "stripe_url", "truelayer_url", "truelayer_auth_url", "truelayer_jwks_url", "truelayer_page_url",
)  # fmt: skip


def faults(values: Mapping[str, Any]) -> list[str]:
    """All that a deployment must not start with. `values`: the settings, by the names of their fields."""
    production = values["environment"] == "production"
    found = list(_of_the_secret_key(values, production=production))
    if production:
        found += [
            *_of_other_secrets(values),
            *_of_watchers(values),
            *_of_servers(values),
            *_of_ways(values),
            *_of_places(values),
        ]
    return found


def weakness(secret: str) -> str | None:
    """Why a secret of ours could be guessed. None: it could not."""
    if len(secret) < MIN_SECRET:
        return f"it has fewer than {MIN_SECRET} characters"
    if is_placeholder(secret):
        return "it is made of a word that everybody tries"
    steps = {ord(after) - ord(before) for before, after in pairwise(secret)}
    again = next(size for size in range(1, len(secret) + 1) if secret == (secret[:size] * len(secret))[: len(secret)])
    if len(set(secret)) < MIN_VARIETY or len(steps) < MIN_VARIETY or again < MIN_UNIT:
        return "it repeats a few characters"
    return None


def is_placeholder(password: str) -> bool:
    """Whether a password is one that stands in examples, or one letter again and again."""
    plain = re.sub(r"[^a-z0-9]", "", password.lower())
    return not plain.strip() or len(set(plain)) == 1 or plain in _COMMON or any(word in plain for word in _PLACEHOLDERS)


def _of_the_secret_key(values: Mapping[str, Any], *, production: bool) -> Iterator[str]:
    secret = _text(values["secret_key"])
    weak = "it is the one of development" if secret == DEVELOPMENT_SECRET else weakness(secret)
    if weak is None:
        return
    if production:
        where = ""
    elif not is_loopback(values["api_host"]):
        where = ", because API_HOST lets other machines in"
    elif not is_loopback(urlsplit(values["public_url"]).hostname or ""):
        where = ", because PUBLIC_URL is an address for others"
    else:
        return
    yield f"SECRET_KEY must be at least {MIN_SECRET} characters of your own ({MAKE_ONE}){where}: {weak}"


def _of_other_secrets(values: Mapping[str, Any]) -> Iterator[str]:
    databases = _databases(values)
    redis = places.redis_place(values["redis_url"])
    broker = _broker(values)
    mail = urlsplit(_text(values["smtp_url"]))
    passwords = {
        **{name: database.get("password") for name, database in databases.items()},
        "REDIS_URL": redis.password,
        "REDIS_URL (of its sentinels)": redis.sentinels and redis.sentinels.password,
        "BROKER_URL": broker and broker.password,
        "SMTP_URL": unquote(mail.password or ""),
        "S3_SECRET_ACCESS_KEY": _text(values["s3_secret_access_key"]),
    }
    for name, password in passwords.items():
        if password and is_placeholder(password):
            yield f"{name} must have a password of your own, not a placeholder"
    hook = _text(values["clerk_webhook_secret"])
    if hook and (len(set(hook)) < len("whsec_") + MIN_VARIETY or is_placeholder(hook.partition("_")[2])):
        yield "CLERK_WEBHOOK_SECRET must be the one that Clerk shows"
    for token in filter(None, map(str.strip, _text(values["provisioning_admin_token"]).split(","))):
        if weak := weakness(token):
            yield f"PROVISIONING_ADMIN_TOKEN must be at least {MIN_SECRET} characters of your own ({MAKE_ONE}): {weak}"
    yield from _of_missing_passwords(values)
    if mail.username and not mail.password:
        yield "SMTP_URL must have a password for its user"


def _of_missing_passwords(values: Mapping[str, Any]) -> Iterator[str]:
    for name, database in _databases(values).items():
        shown = any(database.get(each) for each in ("password", "passfile", "sslcert", "service"))
        if not shown and not places.database_is_here(database):
            yield f"{name} must have a password"
    redis, broker = places.redis_place(values["redis_url"]), _broker(values)
    if not redis.password and not redis.is_here:
        yield "REDIS_URL must have a password"
    if broker and not broker.password and not broker.is_here:
        yield "BROKER_URL must have a password"


def _of_watchers(values: Mapping[str, Any]) -> Iterator[str]:
    tokens = [each for part in _text(values["metrics_token"]).split(",") if (each := part.strip())]
    for token in tokens:
        if weak := weakness(token):
            yield f"METRICS_TOKEN must be at least {MIN_SECRET} characters of your own ({MAKE_ONE}): {weak}"
    if values["metrics_port"] and not tokens and not is_loopback(values["metrics_host"]):
        yield "METRICS_TOKEN must be set where METRICS_HOST lets other machines in"


def _of_servers(values: Mapping[str, Any]) -> Iterator[str]:
    if "*" in values["cors_origins"]:
        yield "CORS_ORIGINS must name the origins of your pages, not *"
    if values["clock_offset_seconds"]:
        yield "CLOCK_OFFSET_SECONDS must not be set"


def _of_ways(values: Mapping[str, Any]) -> Iterator[str]:
    """What would cross a network where everybody on the way can read it, or change it."""
    for name in ("public_url", "callback_url", "cdn_url", "cdn_purge_url"):
        address = urlsplit(values[name] or "https://not.set")
        if not address.hostname:
            yield f"{name.upper()} must name a host"
        elif address.scheme != "https" and not is_loopback(address.hostname):
            yield f"{name.upper()} must begin with https:// (put a TLS proxy in front)"
    mail = urlsplit(_text(values["smtp_url"]))
    if mail.scheme == "smtp" and (mail.username or mail.password) and not is_loopback(mail.hostname or ""):
        yield "SMTP_URL must be smtp+starttls:// or smtps:// where it has a password"
    for name in OF_COMPANIES:
        if not values[name].lower().startswith("https://"):
            yield f"{name.upper()} must begin with https://: keys and money go there"
    for name in ("oidc_issuers", "oidc_jwks_urls"):  # who can change the keys on their way can be anybody
        if any(not url.lower().startswith("https://") for url in _urls(values[name])):
            yield f"{name.upper()} must be https, each of them"


def _of_places(values: Mapping[str, Any]) -> Iterator[str]:
    for name, hosts in hosts_of(values).items():
        if any(is_metadata(host) for host in hosts):
            yield f"{name.upper()} must not lead to where a cloud keeps its machines' secrets"
    for place in values["allow_private_addresses"]:
        host = place.rpartition(":")[0]
        if is_metadata(host) or is_this_machine(host):
            yield (
                f"ALLOW_PRIVATE_ADDRESSES must not name {place}: every user could speak to this machine, or to its cloud"
            )


def _databases(values: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """What libpq is to be told, of each setting that names a database."""
    given = {name: values[name.lower()] for name in ("DATABASE_URL", "DATABASE_REPLICA_URL")}
    return {name: places.database_parameters(address) if address else {} for name, address in given.items()}


def _broker(values: Mapping[str, Any]) -> places.BrokerPlace | None:
    return places.broker_place(values["broker_url"]) if values["broker_url"] else None


def hosts_of(values: Mapping[str, Any]) -> dict[str, list[str]]:
    """The hosts that each setting with an address leads to. A test looks that none is missing."""
    redis = places.redis_place(values["redis_url"])
    broker = _broker(values)
    found = {
        **{
            name.lower(): [*database.get("host", "").split(","), *database.get("hostaddr", "").split(",")]
            for name, database in _databases(values).items()
        },
        "broker_url": [host for host, _ in broker.hosts] if broker else [],
        "redis_url": [redis.host, *(host for host, _ in (redis.sentinels.hosts if redis.sentinels else ()))],
    }
    for name in (
        "s3_endpoint_url",
        "public_url",
        "callback_url",
        "cdn_url",
        "cdn_purge_url",
        "smtp_url",
        "clerk_issuer",
        "otel_exporter_otlp_endpoint",
        *OF_COMPANIES,
    ):
        found[name] = [urlsplit(_text(values[name])).hostname or ""]
    for name in ("oidc_issuers", "oidc_jwks_urls"):
        found[name] = [urlsplit(url).hostname or "" for url in _urls(values[name])]
    return found


def _urls(text: str) -> list[str]:
    """The addresses in a list by commas; of issuer=address pairs, both."""
    return [url for each in text.split(",") for url in re.split(r"=(?=https?:)", each.strip()) if url]


def _text(value: SecretStr | str | None) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return value or ""
