"""One question to a company over HTTP, and what its answer means to us: known, refused, unknown, or away.

A question has one end for all of it, from resolving to the body's last byte, and its answer's bytes are counted as they come
(`common.guard`). What does not have the company's own shape is nobody's word: a proxy's page is no refusal.
"""

import json
from base64 import b64encode
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, NamedTuple
from urllib.parse import urlencode

from common.addresses import AddressRefused, place_of
from common.guard import open_url
from companies.base import Away, Refused, Unknown

ANSWER_SECONDS = 20.0  # for the whole of one answer
MAX_BYTES = 4 * 1024 * 1024
AGAIN = {408, 409, 425, 429}  # and every 5xx: it may do soon


class CompanyAnswer(NamedTuple):
    """What came back, whoever said it."""

    status: int
    headers: dict[str, str]
    body: bytes


def exchange(
    name: str, method: str, url: str, *, headers: Mapping[str, str] | None = None, body: bytes | None = None
) -> CompanyAnswer:
    """Ask a company, at an address that the operator named. No redirect is followed. Raises Away."""
    place = place_of(url)
    try:
        with open_url(
            url, max_bytes=MAX_BYTES, seconds=ANSWER_SECONDS, method=method, headers=headers, body=body,
            allow=[place] if place else [], max_redirects=0, any_status=True,
        ) as answer:  # fmt: skip
            return CompanyAnswer(answer.status, answer.headers, b"".join(answer.content()))
    except AddressRefused as error:
        raise Away(f"{name} did not answer ({error.code}: {error.message})") from None


class Wires:
    """A client of one company. `word` reads the company's own shape of an error, and raises KeyError or TypeError for what
    has another.
    """

    def __init__(
        self, name: str, base_url: str, *, word: Callable[[Any], str], auth: tuple[str, str] | None = None
    ) -> None:
        self._name, self._base_url, self._word = name, base_url.rstrip("/"), word
        self._auth = {"authorization": f"Basic {b64encode(':'.join(auth).encode()).decode()}"} if auth else {}

    def ask(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
    ) -> Any:
        """The JSON that is answered, its numbers as Decimal.

        Raises Unknown (404) and Refused (another 4xx), both in the company's own words, and Away for anything else that is no
        answer.
        """
        sent = {**self._auth, **({"content-type": "application/json"} if body is not None else {}), **(headers or {})}
        url = f"{self._base_url}{path}" + (f"?{urlencode(params)}" if params else "")
        status, _, raw = exchange(self._name, method, url, headers=sent, body=body)
        if status in AGAIN or status >= 500 or 300 <= status < 400:
            raise Away(f"{self._name} answered {status}")
        if status in {401, 403}:  # nothing is wrong with the order
            raise Away(f"{self._name} refuses our key ({status}): look at the settings")
        try:
            found = json.loads(raw, parse_float=Decimal) if raw else None
        except (ValueError, RecursionError):
            raise Away(f"{self._name} answered {status} with what is no JSON") from None
        if status < 400:
            return found
        try:
            said = self._word(found)[:300]
        except (KeyError, TypeError, AttributeError):
            raise Away(f"{self._name} answered {status}, and not in its own words") from None
        if status == 404:
            raise Unknown(f"{self._name} knows no such thing")
        raise Refused(said or f"{self._name} answered {status}")


def text_at(found: Any, name: str) -> str:
    """A text of an error's body. Raises KeyError and TypeError."""
    text = found[name]
    if not isinstance(text, str):
        raise TypeError(f"{name} is no text")
    return text
