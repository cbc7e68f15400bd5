"""The two clients, made so that both go to the same place with the same credentials and the same time-outs."""

import hashlib
import ipaddress
import os
import threading
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import boto3
import botocore
import botocore.session
from botocore.config import Config
from obstore.store import S3Store

from common.settings import Settings

CONNECT_SECONDS = 5
PART_TIMES = (
    4  # so many times S3_SECONDS has the put of a part, as it must be over by then; a read, between two packets
)
ATTEMPTS = 3
_making = threading.Lock()  # a session may be several clients' and is not thread-safe while one is made
CREDENTIAL_SECONDS = 300  # botocore renews a role's credentials ten minutes before they end


def own_session(config: Settings) -> boto3.Session:
    """Of our own: boto3's common one is not thread-safe while it is made. With keys of ours nothing is read of what other
    programs of this user keep under ~/.aws; without, it is where the machine's role is found.
    """
    if config.s3_access_key_id or config.s3_anonymous:
        return _session_without_files()
    return boto3.Session(botocore_session=botocore.session.Session())


@lru_cache(maxsize=1)
def _session_without_files() -> boto3.Session:
    # One for all clients: what S3 can do is read from a megabyte of JSON, which takes most of a client's time to be made.
    core = botocore.session.Session()
    for name in ("config_file", "credentials_file"):
        core.set_config_variable(name, os.devnull)
    core.set_config_variable("profile", None)
    return boto3.Session(botocore_session=core)


def boto_client(session: boto3.Session, config: Settings, endpoint: str | None, secret: str | None) -> Any:
    """boto3, for all but puts. Raises ValueError for an endpoint that is no URL."""
    _, virtual = where(endpoint, config.s3_bucket, path_style=config.s3_path_style)
    with _making:
        client = session.client(
            "s3",
            endpoint_url=endpoint,
            region_name=config.s3_region,
            aws_access_key_id=config.s3_access_key_id or None,
            aws_secret_access_key=secret or None,
            # Certificates that this machine trusts besides the usual ones; obstore and libpq look there by themselves.
            verify=os.environ.get("SSL_CERT_FILE") or None,
            config=Config(
                s3={"addressing_style": "virtual" if virtual else "path"},
                signature_version=botocore.UNSIGNED if config.s3_anonymous else "s3v4",
                proxies={},
                ignore_configured_endpoint_urls=True,
                connect_timeout=min(CONNECT_SECONDS, config.s3_seconds),
                read_timeout=config.s3_seconds,
                retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
                max_pool_connections=50,
                request_checksum_calculation="when_required",  # the other ways are AWS's alone
                response_checksum_validation="when_required",
            ),
        )
    client.meta.events.register("before-sign.s3.DeleteObjects", _sum_the_old_way)
    return client


def _sum_the_old_way(request: Any, **_: Any) -> None:
    """Content-MD5 for DeleteObjects instead of boto3's CRC: every server takes it, older MinIO takes nothing else."""
    for name in [
        name for name in request.headers if name.lower().startswith(("x-amz-checksum-", "x-amz-sdk-checksum-"))
    ]:
        del request.headers[name]
    body = request.body if isinstance(request.body, bytes) else str(request.body).encode()
    request.headers["Content-MD5"] = b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()


def upload_store(session: boto3.Session, config: Settings, endpoint: str | None, secret: str | None) -> S3Store:
    """obstore, for puts. The endpoint must be a URL: obstore panics at what is none."""
    place, virtual = where(endpoint, config.s3_bucket, path_style=config.s3_path_style)
    part_seconds = PART_TIMES * config.s3_seconds
    return S3Store(
        config.s3_bucket,
        config={
            "region": config.s3_region,
            "virtual_hosted_style_request": virtual,
            "skip_signature": config.s3_anonymous,
            **({"endpoint": place} if place else {}),
        },
        client_options={
            "connect_timeout": timedelta(seconds=min(CONNECT_SECONDS, config.s3_seconds)),
            "timeout": timedelta(seconds=part_seconds),
            "allow_http": (place or "").startswith("http://"),
        },
        # Within an upload in parts, so that one lost packet does not send two gigabytes again.
        retry_config={
            "max_retries": ATTEMPTS - 1,
            "retry_timeout": timedelta(seconds=part_seconds),
            "backoff": {"init_backoff": timedelta(seconds=0.1), "max_backoff": timedelta(seconds=2), "base": 2},
        },
        # One source of credentials for both clients. Left to itself obstore knows no profiles, and mixes an
        # AWS_SESSION_TOKEN it finds in the environment with the keys it is given, which S3 refuses.
        credential_provider=None if config.s3_anonymous else _credentials(session, config.s3_access_key_id, secret),
    )


def where(endpoint: str | None, bucket: str, *, path_style: bool) -> tuple[str | None, bool]:
    """The endpoint for obstore, and whether the bucket is in its host name: the same place that boto3 goes to.

    With a host of one's own obstore wants the bucket already in it, where boto3 puts it there; without this, results
    would be put into a bucket called "results". Where a bucket cannot be in a host name both keep it in the path.
    """
    parts = urlsplit(endpoint or "https://s3.amazonaws.com")
    if path_style or _is_address(parts.hostname or "") or ("." in bucket and parts.scheme == "https"):
        return endpoint and endpoint.rstrip("/"), False
    if endpoint is None:
        return None, True
    return parts._replace(netloc=f"{bucket}.{parts.netloc}").geturl().rstrip("/"), True


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _credentials(session: boto3.Session, access: str | None, secret: str | None) -> Callable[[], Any]:
    def given() -> dict[str, Any]:
        return {"access_key_id": access, "secret_access_key": secret, "token": None, "expires_at": None}

    def of_the_machine() -> dict[str, Any]:
        found = session.get_credentials()
        if found is None:
            raise ValueError("Unauthenticated: no credentials")
        now = found.get_frozen_credentials()
        return {
            "access_key_id": now.access_key,
            "secret_access_key": now.secret_key,
            "token": now.token,
            "expires_at": datetime.now(UTC) + timedelta(seconds=CREDENTIAL_SECONDS),
        }

    return given if access and secret else of_the_machine
