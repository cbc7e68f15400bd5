"""Variables that are other programs' own: none of them may send ours elsewhere.

libpq, botocore, obstore, requests and httpx each read dozens of variables behind the back of whoever calls them: a
PGSERVICE, an AWS_PROFILE or an HTTP_PROXY of the shell would move the database, the bucket or a request of ours. What
we need is in our own settings, so these are taken out of this process's environment, and so out of its children's, in
one place, before the first client is made. SSL_CERT_FILE and SSL_CERT_DIR stay: so a machine names the certificates
that it trusts.
"""

import os
from collections.abc import MutableMapping

_PREFIXES = ("PG", "AWS_")
_NAMES = frozenset({
    "ALL_PROXY", "BOTO_CONFIG", "CURL_CA_BUNDLE", "FTP_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY",
    "REQUESTS_CA_BUNDLE",
})  # fmt: skip
# How a machine hands its own role to a program: kept where no keys of ours are set (see S3_ACCESS_KEY_ID).
_OF_A_ROLE = frozenset({
    "AWS_ACCESS_KEY_ID", "AWS_CONFIG_FILE", "AWS_CONTAINER_AUTHORIZATION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CREDENTIAL_EXPIRATION",
    "AWS_EC2_METADATA_DISABLED", "AWS_EC2_METADATA_SERVICE_ENDPOINT", "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE",
    "AWS_METADATA_SERVICE_NUM_ATTEMPTS", "AWS_METADATA_SERVICE_TIMEOUT", "AWS_PROFILE", "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_STS_REGIONAL_ENDPOINTS", "AWS_WEB_IDENTITY_TOKEN_FILE",
})  # fmt: skip


def drop(environment: MutableMapping[str, str] | None = None, *, role: bool) -> list[str]:
    """Take them out of the environment. `role`: but leave those by which a machine's own role is found. Returns which."""
    given = os.environ if environment is None else environment
    found = [name for name in list(given) if is_foreign(name) and not (role and name in _OF_A_ROLE)]
    for name in found:
        given.pop(name, None)
    return found


def is_foreign(name: str) -> bool:
    """Whether a variable is one that some library of ours would read behind our backs."""
    return name.upper() in _NAMES or name.startswith(_PREFIXES)
