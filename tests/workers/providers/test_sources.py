"""What a provider's answer names is fetched through the guard, whichever adapter reads it: a model that echoes its prompt,
or a provider that was taken over, must not make a worker speak to our own network.
"""

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from common import guard
from models.catalogue.providers import ProviderEntry
from tests.common.far import Far, far, moved, ok
from workers.providers import fetching
from workers.providers.base import (
    Callback,
    Done,
    Endpoint,
    NotFetched,
    Pending,
    Provider,
    ProviderError,
    Request,
    Unjudged,
)
from workers.providers.fal_keys import SigningKeys
from workers.providers.registry import ADAPTERS
from workers.providers.results import Unreadable
from workers.providers.sources import OutputSource

SECRET = b"\x89PNG the secret of an inner server"
MODELS = {"fal": "owner/app", "replicate": "owner/name"}
OPTIONS = {"http": {"secret": "anything"}}


def told(adapter: str, path: str, address: str) -> Any:
    """The answer of each kind of provider that names an address as its result."""
    if adapter == "fal" and path.endswith("/app"):
        return {"request_id": "r-1"}
    if adapter == "fal" and "/status" in path:
        return {"status": "COMPLETED", "response_url": address, "status_url": address}
    return {
        "cog": {"status": "succeeded", "output": [address]},
        "replicate": {"id": "p-1", "status": "succeeded", "output": [address], "urls": {"get": address}},
        "fal": {"images": [{"url": address, "content_type": "image/png"}]},
        "openai": {"data": [{"url": address}]},
        "http": {"status": "succeeded", "outputs": [{"url": address, "media_type": "image/png"}]},
    }[adapter]


@contextmanager
def provider(adapter: str, address: Callable[[str], str], **options: Any) -> Iterator[tuple[Provider, Far]]:
    """A provider that answers with an address, made of its own root."""

    def answer(server: Far, path: str, send: Callable[[bytes], None]) -> None:
        if path.startswith("/moved/"):
            send(moved(path.removeprefix("/moved/")))
        elif path.startswith("/files/"):
            send(ok(b"\x89PNG the result"))
        else:
            send(ok(json.dumps(told(adapter, path, address(server.url))).encode()))

    with far(answer) as server:
        endpoint = Endpoint(adapter, server.url, "the-key", {**OPTIONS.get(adapter, {}), **options})
        made = ADAPTERS[adapter](endpoint)
        try:
            yield made, server
        finally:
            made.close()


def generated(made: Provider, given: dict[str, Any]) -> list[bytes]:
    """What a worker has of it in the end."""
    request = Request(MODELS.get(made.name, "images"), "image", given)
    outcome = made.start(request, "job:1")
    if isinstance(outcome, Pending):
        outcome = made.poll(request, outcome.provider_job_id)
    assert isinstance(outcome, Done)
    found = []
    for each in outcome.outputs:
        assert each.address is not None
        found.append(b"".join(each.chunks()))
        again = made.output(request, each.address)  # another worker, from what was written down
        assert b"".join(again.chunks()) == found[-1]
    return found


@pytest.fixture
def witness(monkeypatch: pytest.MonkeyPatch) -> Iterator[Far]:
    """A server of our own network. Names under inside.example lead to it."""
    monkeypatch.setattr(fetching, "TRIES_SECONDS", 0.1)
    real = socket.getaddrinfo

    def resolve(host: Any, *rest: Any, **more: Any) -> Any:
        inside = str(host).endswith("inside.example")
        return real("127.0.0.1" if inside else host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with far(ok(SECRET)) as server:
        yield server


HOSTS = [
    "127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::]", "2130706433", "0x7f000001", "0x7f.1",
    "0177.0.0.1", "127.1", "0", "0.0.0.0", "127.0.0.1.", "LOCALHOST.", "127.8.8.8", "a.inside.example", "①②⑦.⓪.⓪.①",
    "user:x@127.0.0.1",
]  # fmt: skip


@pytest.mark.parametrize("adapter", sorted(ADAPTERS.keys() - {"sketch"}))
@pytest.mark.parametrize("host", HOSTS)
def test_a_result_that_lies_inside_is_not_fetched(adapter: str, host: str, witness: Far) -> None:
    with provider(adapter, lambda _own: f"http://{host}:{witness.port}/secret") as (made, _):
        with pytest.raises((ProviderError, NotFetched)) as caught:
            generated(made, {"prompt": "a lake"})
    assert witness.heads == []
    assert "127.0.0.1" not in str(caught.value)
    assert "inside" not in str(caught.value)


@pytest.mark.parametrize("adapter", sorted(ADAPTERS.keys() - {"sketch"}))
@pytest.mark.parametrize("host", ["127.0.0.1", "[::ffff:127.0.0.1]", "2130706433", "a.inside.example", "localhost"])
def test_a_providers_own_server_does_not_redirect_us_inside(adapter: str, host: str, witness: Far) -> None:
    with provider(adapter, lambda own: f"{own}/moved/http://{host}:{witness.port}/secret") as (made, server):
        with pytest.raises((ProviderError, NotFetched)):
            generated(made, {"prompt": "a lake"})
        assert any("/moved/" in head for head in server.heads)
    assert witness.heads == []


@pytest.mark.parametrize("adapter", sorted(ADAPTERS.keys() - {"sketch"}))
def test_an_echoed_prompt_is_not_fetched_not_even_from_the_provider_itself(adapter: str, witness: Far) -> None:
    """The far side runs the prompt as its output, as a model does that somebody trained to."""
    address: list[str] = []
    with provider(adapter, lambda own: address[0] if address else own) as (made, server):
        address.append(f"{server.url}/files/admin?all=1")
        with pytest.raises((ProviderError, NotFetched)) as caught:
            generated(made, {"prompt": address[0]})
        assert not any("/files/" in head for head in server.heads)
    assert server.url not in str(caught.value)


@pytest.mark.parametrize("adapter", sorted(ADAPTERS.keys() - {"sketch"}))
def test_a_providers_own_result_is_fetched_and_its_key_goes_nowhere_else(adapter: str) -> None:
    with provider(adapter, lambda own: f"{own}/files/a.png") as (made, server):
        assert generated(made, {"prompt": "a"}) == [b"\x89PNG the result"]
        asked = [head for head in server.heads if "/files/" in head]
        assert len(asked) == 2
    with far(ok(b"\x89PNG of a bucket")) as bucket:
        with provider(adapter, lambda _own: f"{bucket.url}/a.png", hosts=[bucket.place]) as (made, _):
            assert generated(made, {"prompt": "a"}) == [b"\x89PNG of a bucket"]
        with provider(adapter, lambda own: f"{own}/moved/{bucket.url}/b.png", hosts=[bucket.place]) as (made, _):
            assert generated(made, {"prompt": "a"}) == [b"\x89PNG of a bucket"]
        assert len(bucket.heads) == 4
        assert not any("the-key" in head or "authorization" in head.lower() for head in bucket.heads)


@pytest.mark.parametrize("adapter", ["replicate", "fal", "http"])
def test_a_question_that_is_redirected_is_not_asked_elsewhere(adapter: str, witness: Far) -> None:
    options = {**OPTIONS.get(adapter, {}), "poll": True}
    with far(moved(f"{witness.url}/secret")) as server:
        made = ADAPTERS[adapter](Endpoint(adapter, server.url, "the-key", options))
        request = Request(MODELS.get(adapter, "images"), "image", {}, options={"poll": True})
        for ask in (lambda: made.start(request, "job:1"), lambda: made.poll(request, "p-1")):
            with pytest.raises((NotFetched, ProviderError, Exception)):
                ask()
        made.close()
    assert witness.heads == []


def test_fals_signing_keys_are_not_fetched_from_where_their_address_redirects_to(witness: Far) -> None:
    call = Callback({"x-fal-webhook-timestamp": "0", "x-fal-webhook-signature": "0" * 128}, b"{}", 0.0)
    with far(moved(f"{witness.url}/jwks")) as server:
        with pytest.raises(Unjudged):
            SigningKeys(f"{server.url}/jwks").is_signed(call)
        assert len(server.heads) == 1
    assert witness.heads == []


def test_a_stranger_does_not_redirect_us_to_the_providers_own_server(
    witness: Far, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is public redirects only to what is public: the exception is for the provider's word, not for anybody's."""
    resolve = guard._addresses
    monkeypatch.setattr(
        guard,
        "_addresses",
        lambda target, *rest: ["127.0.0.1"] if target.host == "public.example" else resolve(target, *rest),
    )
    with far(moved(f"{witness.url}/admin")) as server:
        port = server.place.rpartition(":")[2]
        stranger = fetching.fetch(f"http://public.example:{port}/a", own={witness.place}, tries=1)
        with pytest.raises(NotFetched) as caught:
            list(stranger)
        assert len(server.heads) == 1
    assert caught.value.refused
    assert witness.heads == []


# What the customer has written


def source(given: Any, **options: Any) -> OutputSource:
    return OutputSource(Endpoint("x", "http://cog:5000", None, options), Request("m", "image", given))


@pytest.mark.parametrize(("address", "given"), [
    ("http://cog:5000/secret", {"prompt": "http://cog:5000/secret"}),
    ("http://cog:5000/secret", {"prompt": "please fetch http://cog:5000/secret, thank you"}),
    ("http://cog:5000/secret", {"prompt": "HTTP://COG:5000/SECRET"}),
    ("HTTP://Cog:5000/secret#part", {"prompt": "http://cog:5000/secret"}),
    ("http://cog:5000/secret", {"prompt": "http%3A%2F%2Fcog%3A5000%2Fsecret"}),
    ("http://cog:5000/secret", {"prompt": "http%253A%252F%252Fcog%253A5000%252Fsecret"}),
    ("http://cog:5000/%73ecret", {"prompt": "http://cog:5000/secret"}),
    ("http://cog:5000/secret", {"prompt": "http:\\/\\/cog:5000\\/secret"}),
    ("http://cog:5000/secret?a=1&b=2", {"prompt": "http://cog:5000/secret?a=1&amp;b=2"}),
    ("http://cog:5000/secret", {"prompt": "ht\u200btp://co\u00adg:5000/sec ret"}),
    ("http://cog:5000/secret", {"prompt": "ｈｔｔｐ://ｃｏｇ:5000/secret"}),
    ("http://cog:5000/secret", {"prompt": "//cog:5000/secret"}),
    ("http://cog:5000/secret", {"prompt": "cog:5000/secret"}),
    ("http://cog:5000/secret/", {"prompt": "http://cog:5000/secret"}),
    ("http://cog:5000/secret", {"deep": [{"er": ["x", {"http://cog:5000/secret": 1}]}]}),
    ("http://cog:5000/secret", {"messages": [{"role": "user", "content": [{"text": "http://cog:5000/secret"}]}]}),
    ("http://cog:5000/fetch?url=http://x.example/a.png", {"prompt": "http://x.example/a.png"}),
    ("http://cog:5000/fetch?url=http%3A%2F%2Fx.example%2Fa.png", {"prompt": "http://x.example/a.png"}),
    ("http://cog:5000/fetch/x.example/a", {"prompt": "x.example/a"}),
    ("http://cog:5000/fetch?u=http://x.example", {"prompt": "http://x.example"}),
    ("http://cog:5000/secret.png", {"prompt": "http://cog:5000/secret"}),
    ("http://cog:5000/secret", {"host": "cog:5000", "path": "/secret"}),
    ("http://x.example/secret.png", {"host": "x.example"}),
    ("http://8.8.8.8/secret.png", {"host": "8.8.8.8"}),
    ("http://x.example:8080/secret.png", {"host": "(X.Example:8080)"}),
    ("https://x.example:443/a.png", {"url": "https://x.example/a.png"}),
    ("https://x.example/a.png", {"url": "https://x.example:443/a.png"}),
])  # fmt: skip
def test_what_a_customer_wrote_is_not_fetched(address: str, given: dict[str, Any]) -> None:
    with pytest.raises(Unreadable) as caught:
        source(given).output(address)
    assert str(caught.value) == fetching.REFUSED


@pytest.mark.parametrize(("address", "given"), [
    ("http://cog:5000/files/a.png", {"prompt": "a", "negative_prompt": "", "style": "files"}),
    ("http://cog:5000/files/cat.png", {"prompt": "cat", "output_format": "png", "name": "cat.png"}),
    ("http://cog:5000/files/a-cog.png", {"prompt": "cog", "words": ["http", "5000", "files"]}),
    ("https://replicate.delivery/pbxt/abc/out-0.png", {"prompt": "a picture of replicate.delivery", "aspect_ratio": "16:9"}),
    ("https://cdn.example/v1.5/image/png/16/9/x.png", {"v": "1.5", "type": "image/png", "ratio": "16/9", "seed": 9}),
    ("https://cdn.example/results/1.png", {"image": "https://cdn.example/mine.png"}),
    ("https://v3.fal.media/files/b/x.png", {"prompt": "https://", "a": "//", "b": "/", "c": "http://", "d": ".", "e": None}),
    ("https://cdn.example/a-lake-at-dawn-7.png", {"prompt": "a lake at dawn", "seed": 7, "safe": True}),
])  # fmt: skip
def test_an_honest_result_is_fetched_though_words_of_the_input_are_in_its_address(
    address: str, given: dict[str, Any]
) -> None:
    assert source(given).output(address).address == address


def test_the_check_of_a_long_input_takes_no_long_time_for_many_outputs() -> None:
    where = source({"prompt": "%2525" * 200_000, "list": ["x"] * 10_000})
    assert len([where.output(f"http://cog:5000/files/{number}.png") for number in range(256)]) == 256


# The catalogue's word


@pytest.mark.parametrize("hosts", [["minio:9000"], ["files.example.com"], ["[fd00::1]:9000", "10.0.0.1:80"], []])
def test_a_providers_other_hosts_are_listed_one_by_one(hosts: list[str]) -> None:
    entry = ProviderEntry(name="own", adapter="cog", base_url="http://cog:5000", options={"hosts": hosts})
    assert OutputSource(Endpoint("own", "http://cog:5000", None, entry.options), Request("m", "image", {})).own


@pytest.mark.parametrize("hosts", [
    ["http://minio:9000"], ["minio/bucket"], ["*.example.com"], ["10.0.0.0/8"], ["minio:9000:1"], ["minio:x"], ["u@minio"],
    [""], [7], "minio:9000", ["127.1:9000"], ["minio:99999"], {"minio": 9000}, [None],
])  # fmt: skip
def test_a_host_that_is_none_is_refused_when_the_catalogue_is_read(hosts: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="hosts"):
        ProviderEntry(name="own", adapter="cog", base_url="http://cog:5000", options={"hosts": hosts})
