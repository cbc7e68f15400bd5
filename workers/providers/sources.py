"""Where a provider's results may be fetched from: anywhere public, and from the provider's own places wherever they are
(its `base_url`, and what the catalogue lists as its `hosts`); never from what the customer has written into the job.

A model that echoes its prompt must not make us fetch what stands there. So an address is refused that stands in any text of
the input, alone or in a sentence, or that is made around a value which is itself an address or a host. A value that is a
plain word refuses nothing: "cat" is in many an honest address.
"""

import html
import logging
import re
import unicodedata
from collections.abc import Iterator, Mapping
from functools import cached_property, partial
from typing import Any
from urllib.parse import unquote

from common.addresses import place_of
from common.guard import AddressRefused, check
from workers.providers.base import ADDRESS_CHARACTERS, Endpoint, Output, Request, is_storable
from workers.providers.fetching import REFUSED, fetch
from workers.providers.results import Unreadable, is_address, of_data_uri

log = logging.getLogger(__name__)

ROUNDS = 4  # so often may a text be quoted inside a quotation
VALUE_CHARACTERS = 2048  # a longer value is a text, and no address
_UNSEEN = {"Cc", "Cf", "Zs", "Zl", "Zp"}
_SCHEME = re.compile(r"(https?:)?//")
_USUAL_PORT = re.compile(r"(?<=[\w\]]):(?:80|443)(?!\d)")
_HOST = r"(?:\[[0-9a-f:.]+\]|[\w-]+(?:\.[\w-]+)*)"
_PLACE = re.compile(rf"{_HOST}(?::\d{{2,5}})?")
_PLACE_WITH_PATH = re.compile(r"(?:\[[0-9a-f:.]+\]|[\w-]+(?:\.[\w-]+)+|[\w.-]+:\d{2,5})[/?].*[\w].*", re.DOTALL)
_AROUND = "\"'`<>()[]{}.,;"


class OutputSource:
    """One provider's results for one request. Raises Unreadable for an address that cannot be kept or is not fetched.

    `headers`, which hold the key, go only to the server at `base_url`: never to a bucket or a CDN, listed or not.
    """

    def __init__(self, endpoint: Endpoint, request: Request, headers: Mapping[str, str] | None = None) -> None:
        self._endpoint, self._input, self._headers = endpoint, request.input, headers

    @cached_property
    def own(self) -> frozenset[str]:
        """The provider's own places, as `host:port`."""
        return own_places(self._endpoint)

    @cached_property
    def _written(self) -> list[str]:
        # Each once: they are compared with every output.
        return list(dict.fromkeys(text for each in _texts(self._input) if (text := _plain(each))))

    def output(self, url: str, claimed_media_type: str | None = None) -> Output:
        """The result at an address, fetched at each opening; or in a `data:` URI."""
        if url[:5].lower() == "data:":
            made = of_data_uri(url)
            return Output(made.chunks, claimed_media_type or made.claimed_media_type)
        if not is_storable(url, ADDRESS_CHARACTERS):
            raise Unreadable(f"an address that cannot be kept: {len(url)} characters, or some that are none")
        if not is_address(url):
            raise Unreadable("no address")
        try:
            target = check(url, self.own)
        except AddressRefused as error:
            raise self._refused(error.message) from error
        if any(echoes(url, text, own=target.allowed) for text in self._written):
            raise self._refused("it stands in the job's input")
        home = self._headers if _origin(url) == _origin(self._endpoint.base_url) else None
        return Output(partial(fetch, url, home, own=self.own), claimed_media_type, url)

    def _refused(self, why: str) -> Unreadable:
        log.warning("provider %s: a result's address is refused: %s", self._endpoint.name, why)
        return Unreadable(REFUSED)


def own_places(endpoint: Endpoint) -> frozenset[str]:
    """What may be private of what a provider answers with: `host:port` of its `base_url` and of its `hosts`."""
    listed = endpoint.options.get("hosts") or ()
    urls = [endpoint.base_url, *(f"{scheme}://{each}" for each in listed for scheme in ("https", "http"))]
    return frozenset(place for url in urls if (place := place_of(url)) is not None)


def echoes(url: str, written: str, *, own: bool) -> bool:
    """Whether an address is what a customer wrote, or is made around it. `written`: a text of the input, as `_plain` has it.

    `own`: it is the provider's own place, whose bare name may well stand in a prompt.
    """
    address = _plain(url.partition("#")[0])
    rest = _SCHEME.sub("", address, count=1)
    if rest.rstrip("/") in written:
        return True
    value = written.strip(_AROUND) if written[:1] != "[" else written
    if len(value) > VALUE_CHARACTERS:
        return False
    scheme = _SCHEME.match(value)
    named = _SCHEME.sub("", value, count=1).rstrip("/")
    if not named:
        return False
    if scheme is not None and f"//{named}" in address:
        return True
    if _PLACE_WITH_PATH.fullmatch(named):
        return named in rest
    if _PLACE.fullmatch(named):
        authority = re.split(r"[/?]", rest, maxsplit=1)[0]
        host = re.sub(r":\d+$", "", authority)
        return named == authority if ":" in named.rpartition("]")[2] else named == host and not own
    return False


def _texts(value: Any) -> Iterator[str]:
    """All texts in a value of any shape, names included; a number may be a host (2130706433)."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, Mapping):
            waiting += [*each.keys(), *each.values()]
        elif isinstance(each, list | tuple):
            waiting += each
        elif isinstance(each, str):
            yield each
        elif isinstance(each, int) and not isinstance(each, bool):
            yield str(each)


def _plain(text: str) -> str:
    """A text in the one way in which it is compared: unquoted, without blanks, small, without the usual ports."""
    for _ in range(ROUNDS):
        before, text = text, html.unescape(unquote(text)).replace("\\", "/" if "\\/" not in text else "")
        if text == before:
            break
    text = unicodedata.normalize("NFKC", text).casefold().replace("\N{IDEOGRAPHIC FULL STOP}", ".")
    text = "".join(letter for letter in text if unicodedata.category(letter) not in _UNSEEN)
    return _USUAL_PORT.sub("", text)


def _origin(url: str) -> tuple[str, str | None]:
    return url.partition(":")[0].lower(), place_of(url)
