"""What is told of a server whose certificate is not trusted here: one sentence, with the setting in which its authority is named. Pure."""

import re

# libpq's and OpenSSL's, Python's, Rust's: "certificate verify failed", "SSL error: provider signature failure" (an authority
# that was made anew under its old name), 'server certificate for "a" does not match host name "b"', "BadSignature" of one.
_DISTRUST = re.compile(r"certificate|provider signature|unknown ?issuer", re.IGNORECASE)
_NAMED_IN = {
    "database": ("DATABASE_URL", "sslrootcert in DATABASE_URL, or SSL_CERT_FILE where that says sslrootcert=system"),
    "replica": (
        "DATABASE_REPLICA_URL",
        "sslrootcert in DATABASE_REPLICA_URL, or SSL_CERT_FILE where that says sslrootcert=system",
    ),
    "redis": ("REDIS_URL", "ssl_ca_certs in REDIS_URL, or SSL_CERT_FILE"),
    "broker": ("BROKER_URL", "ssl_ca_certs in BROKER_URL, or SSL_CERT_FILE"),
    "storage": ("S3_ENDPOINT_URL", "SSL_CERT_FILE"),
}
_WORDS = 160


def distrust(check: str, error: BaseException) -> str | None:
    """None: it is no trouble of this kind."""
    found = _chain(error)
    why = next((each for each in reversed(found) if _DISTRUST.search(each)), None)
    if why is None or check not in _NAMED_IN:
        return None
    setting, place = _NAMED_IN[check]
    return f"the certificate of {setting}'s server is not trusted here: name the authority that signed it in {place} ({_short(why)})"


def _chain(error: BaseException) -> list[str]:
    found = list[str]()
    each: BaseException | None = error
    while each is not None and len(found) < 10:
        found.append(str(each))
        each = each.__cause__ or each.__context__
    return found


def _short(why: str) -> str:
    match = _DISTRUST.search(why)
    begin = max(0, (match.start() if match else 0) - _WORDS // 2)
    return " ".join(why[begin : begin + _WORDS].split())
