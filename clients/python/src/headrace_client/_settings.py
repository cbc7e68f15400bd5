"""What a client is told, and where it looks for what it is not told."""

import os

import httpx

from headrace_client._version import VERSION

DEFAULT_URL = "http://127.0.0.1:8000"
# A call that waits for its job is answered within 20 s; a server that says nothing for a minute will not any more.
TIMEOUT = httpx.Timeout(60.0, connect=10.0, pool=None)


def key_of(api_key: str | None) -> str:
    """The key to use. Raises ValueError for one that cannot be one, without showing it."""
    key = (api_key or os.environ.get("HEADRACE_API_KEY", "")).strip()
    if not key:
        raise ValueError("give api_key=…, or set HEADRACE_API_KEY")
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ValueError("the API key has characters that no key has")
    return key


def base_url_of(base_url: str | None) -> str:
    """The address to use, without a slash at its end. Raises ValueError for one that is none."""
    found = (base_url or os.environ.get("HEADRACE_URL") or DEFAULT_URL).rstrip("/")
    if not found.startswith(("http://", "https://")):
        raise ValueError(f"base_url must begin with http:// or https://, not {found!r}")
    return found


def headers_of(key: str) -> dict[str, str]:
    """What goes along with every call."""
    return {"Authorization": f"Bearer {key}", "User-Agent": f"headrace-client/{VERSION}"}
