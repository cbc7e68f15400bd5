"""Outputs from what providers answer with: bytes, `data:` URIs and addresses."""

from base64 import b64decode
from collections.abc import Iterator, Mapping
from functools import partial
from urllib.parse import unquote_to_bytes

import httpx

from workers.providers import wire
from workers.providers.base import Output


def of_bytes(data: bytes, media_type: str | None = None) -> Output:
    """A result that came with the answer and is held in memory."""
    return Output(partial(_once, data), media_type)


def of_text(text: str) -> Output:
    """A text, as UTF-8. A lone surrogate, which JSON can carry and UTF-8 cannot, becomes a question mark."""
    return of_bytes(text.encode(errors="replace"), "text/plain")


def of_base64(text: str, media_type: str | None = None) -> Output:
    """Raises ValueError where it is not base64 to its end."""
    return of_bytes(b64decode(text, validate=True), media_type)


def is_address(value: object) -> bool:
    """Whether this is where a result is, rather than the result."""
    return isinstance(value, str) and value.startswith(("https://", "http://", "data:"))


def of_address(url: str, base_url: str = "", headers: Mapping[str, str] | None = None) -> Output:
    """A result at an address, fetched at each opening. Raises ValueError for a `data:` URI that cannot be read.

    `headers`, which hold the key, go only to the provider's own server at `base_url`, never to a bucket or a CDN.
    """
    if url.startswith("data:"):
        head, comma, body = url[5:].partition(",")
        if not comma:
            raise ValueError("a data: URI without a comma")
        media_type = head.partition(";")[0] or None
        if head.endswith(";base64"):
            return of_base64(body, media_type)
        return of_bytes(unquote_to_bytes(body), media_type)
    return Output(partial(wire.fetch, url, headers if _same_server(url, base_url) else None))


def _same_server(url: str, base_url: str) -> bool:
    try:
        one, other = httpx.URL(url), httpx.URL(base_url)
    except httpx.InvalidURL:
        return False
    return bool(other.host) and (one.scheme, one.host, one.port) == (other.scheme, other.host, other.port)


def _once(data: bytes) -> Iterator[bytes]:
    yield data
