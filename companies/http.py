"""One question to a company over HTTP, and what its answer means to us: known, refused, unknown, or away."""

import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import httpx

from common.guard import trusted
from companies.base import Away, Refused, Unknown

CONNECT_SECONDS, ANSWER_SECONDS = 5.0, 20.0
MAX_BYTES = 4 * 1024 * 1024
AGAIN = {408, 409, 425, 429}  # and every 5xx: it may do soon


class Wires:
    """A client of one company."""

    def __init__(self, name: str, base_url: str, *, auth: tuple[str, str] | None = None) -> None:
        self._name = name
        self._client = httpx.Client(
            base_url=base_url, auth=auth, verify=trusted() if base_url.startswith("https:") else True, trust_env=False,
            follow_redirects=False, timeout=httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS),
        )  # fmt: skip

    def ask(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        word: Callable[[Any], str] = str,
    ) -> Any:
        """The JSON that is answered, its numbers as Decimal. `word`: what the company says in a refusal.

        Raises Unknown (404), Refused (another 4xx) and Away (anything else that is no answer).
        """
        sent = {"content-type": "application/json", **(headers or {})} if body is not None else dict(headers or {})
        try:
            answer = self._client.request(method, path, content=body, headers=sent, params=params)
        except httpx.HTTPError as error:
            raise Away(f"{self._name} did not answer ({type(error).__name__})") from None
        if len(answer.content) > MAX_BYTES:
            raise Away(f"{self._name} answered with more than {MAX_BYTES} bytes")
        status = answer.status_code
        if status in AGAIN or status >= 500 or 300 <= status < 400:
            raise Away(f"{self._name} answered {status}")
        try:
            found = json.loads(answer.content, parse_float=Decimal) if answer.content else None
        except (ValueError, RecursionError):
            raise Away(f"{self._name} answered {status} with what is no JSON") from None
        if status == 404:
            raise Unknown(f"{self._name} knows no such thing")
        if status in {401, 403}:
            raise Away(
                f"{self._name} refuses our key ({status}): look at the settings"
            )  # nothing is wrong with the order
        if status >= 400:
            raise Refused(_said(word, found) or f"{self._name} answered {status}")
        return found


def _said(word: Callable[[Any], str], found: Any) -> str:
    try:
        return word(found)[:300]
    except (KeyError, TypeError, AttributeError):
        return ""
