"""fal's calls back: what they bring, and that nobody else's are believed."""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.far_side.callbacks import Listener, came
from tests.far_side.fal import FalFarSide, jwks, signed
from tests.far_side.queue_server import Answer, Ask, as_json, png
from tests.workers.providers.test_fal import MODERATED, begun, data, make
from workers.providers import fal_keys
from workers.providers.base import Callback, Done, ProviderError, Unjudged
from workers.providers.fal import Fal
from workers.providers.fal_keys import SigningKeys


def test_a_call_back_brings_the_result_and_a_second_one_the_same(
    fal: Fal, fal_side: FalFarSide, listener: Listener
) -> None:
    fal_side.faults.add("twice", method="POST")
    request = make(callback_url=listener.url)
    request_id = begun(fal, request)
    calls = listener.calls(request_id, count=2)
    results = [data(fal.callback(request, request_id, call)) for call in calls]
    assert results == [png(f"{request_id}.png")] * 2
    assert data(fal.callback(request, None, calls[0])) == results[0]  # a start whose answer was lost
    assert fal.callback(request, "another", calls[0]) is None


def test_a_call_back_of_a_failure_says_why(fal: Fal, fal_side: FalFarSide, listener: Listener) -> None:
    fal_side.script["*"] = {"status": 422, "detail": MODERATED}
    request = make(callback_url=listener.url)
    request_id = begun(fal, request)
    with pytest.raises(ProviderError) as caught:
        fal.callback(request, request_id, listener.calls(request_id)[0])
    assert caught.value.code == "moderated"


def test_what_a_call_back_does_not_say_is_asked(fal: Fal, fal_side: FalFarSide, listener: Listener) -> None:
    request = make(callback_url=listener.url, options={"cost_usd_micros_per_second": 1000})
    request_id = begun(fal, request)
    done = fal.callback(request, request_id, listener.calls(request_id)[0])
    assert isinstance(done, Done)
    assert done.cost_usd_micros == 1500
    body = json.dumps({"request_id": request_id, "status": "OK", "payload": None, "payload_error": "too big"}).encode()
    assert isinstance(fal.callback(request, request_id, came(signed(fal_side.signing_key, body), body)), Done)


def is_not_believed(fal: Fal, call: Callback) -> bool:
    try:
        return fal.callback(make(), "r", call) is None
    except Unjudged:
        return True


def test_only_fals_own_fresh_calls_are_believed(fal: Fal, fal_side: FalFarSide) -> None:
    body = b'{"request_id": "r", "status": "OK", "payload": {"image": {"url": "data:image/png;base64,eA=="}}}'
    now, key = time.time(), fal_side.signing_key
    good = signed(key, body)
    assert isinstance(fal.callback(make(), "r", came(good, body)), Done)
    assert isinstance(fal.callback(make(), "r", came(signed(key, body, at=now - 280), body)), Done)
    for headers in (
        {},
        signed(Ed25519PrivateKey.generate(), body),
        signed(key, body, at=now - 320),
        signed(key, body, at=now + 320),
        {**good, "x-fal-webhook-user-id": "another"},
        {**good, "x-fal-webhook-signature": "zz"},
        {**good, "x-fal-webhook-timestamp": "²"},
    ):
        assert is_not_believed(fal, came(headers, body))
    assert is_not_believed(fal, came(good, body.replace(b"eA", b"eB")))
    for text in (b"no json", b"[]", b'{"status": "OK"}'):
        assert fal.callback(make(), "r", came(signed(key, text), text)) is None


class TestSigningKeys:
    """The keys are kept, and fetched again when none fits, but not at every forged call."""

    @pytest.fixture
    def clock(self, monkeypatch: pytest.MonkeyPatch) -> list[float]:
        now = [1000.0]
        monkeypatch.setattr(fal_keys.time, "monotonic", lambda: now[0])
        return now

    def signed_by(self, keys: SigningKeys, key: Ed25519PrivateKey) -> bool:
        return keys.is_signed(came(signed(key, b"x"), b"x"))

    def test_a_new_key_is_found_once_a_minute_has_passed(
        self, fal_side: FalFarSide, clock: list[float], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        keys, new = SigningKeys(f"{fal_side.url}/.well-known/jwks.json"), Ed25519PrivateKey.generate()
        assert self.signed_by(keys, fal_side.signing_key)
        published = as_json(jwks(new))
        usual = fal_side.answer

        def answer(ask: Ask) -> Answer:
            return published if "jwks" in ask.path else usual(ask)

        monkeypatch.setattr(fal_side, "answer", answer)
        for _ in range(3):
            with pytest.raises(Unjudged):
                self.signed_by(keys, new)
        assert len(fal_side.book.calls("jwks")) == 1
        clock[0] += 61
        assert self.signed_by(keys, new)
        assert len(fal_side.book.calls("jwks")) == 2

    def test_who_waits_while_another_fetches_a_new_key_knows_it_too(
        self, fal_side: FalFarSide, clock: list[float], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        keys, new = SigningKeys(f"{fal_side.url}/.well-known/jwks.json"), Ed25519PrivateKey.generate()
        assert self.signed_by(keys, fal_side.signing_key)
        clock[0] += 61
        both_came, published = threading.Barrier(2), as_json(jwks(new))
        fetch = keys._fetch

        def fetch_together() -> bool:
            both_came.wait(30)  # neither key fits, so both have come to ask for new ones
            return fetch()

        monkeypatch.setattr(keys, "_fetch", fetch_together)
        monkeypatch.setattr(fal_side, "answer", lambda _ask: published)
        with ThreadPoolExecutor(2) as pool:
            found = [pool.submit(self.signed_by, keys, new) for _ in range(2)]
            assert [each.result() for each in found] == [True, True]
        assert len(fal_side.book.calls("jwks")) == 2

    def test_they_are_kept_for_a_day(self, fal_side: FalFarSide, clock: list[float]) -> None:
        keys = SigningKeys(f"{fal_side.url}/.well-known/jwks.json")
        for passed in (0, 23 * 3600, 2 * 3600):
            clock[0] += passed
            assert self.signed_by(keys, fal_side.signing_key)
        assert len(fal_side.book.calls("jwks")) == 2

    def test_old_keys_serve_where_the_new_cannot_be_had(self, fal_side: FalFarSide, clock: list[float]) -> None:
        keys = SigningKeys(f"{fal_side.url}/.well-known/jwks.json")
        assert self.signed_by(keys, fal_side.signing_key)
        clock[0] += 25 * 3600
        fal_side.faults.add("error", path="jwks")
        assert self.signed_by(keys, fal_side.signing_key)

    @pytest.mark.parametrize("document", [{}, {"keys": None}, {"keys": [{"x": "AA"}, 3]}, []])
    def test_a_document_without_keys_is_no_word_on_anybody(
        self, fal_side: FalFarSide, clock: list[float], monkeypatch: pytest.MonkeyPatch, document: Any
    ) -> None:
        keys, usual = SigningKeys(f"{fal_side.url}/.well-known/jwks.json"), fal_side.answer
        monkeypatch.setattr(fal_side, "answer", lambda _ask: as_json(document))
        with pytest.raises(Unjudged):
            self.signed_by(keys, fal_side.signing_key)
        monkeypatch.setattr(fal_side, "answer", usual)
        clock[0] += 6
        assert self.signed_by(keys, fal_side.signing_key)

    def test_the_pause_after_a_failure_begins_with_its_end(
        self, fal_side: FalFarSide, clock: list[float], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A server that hangs for ten seconds would otherwise hold every thread, one after another."""
        keys, fetch = SigningKeys(f"{fal_side.url}/.well-known/jwks.json"), fal_keys.fetching.fetch

        def slow(*args: Any, **more: Any) -> Any:
            clock[0] += 10
            return fetch(*args, **more)

        monkeypatch.setattr(fal_keys.fetching, "fetch", slow)
        fal_side.faults.add("error", path="jwks")
        for _ in range(3):
            with pytest.raises(Unjudged):
                self.signed_by(keys, fal_side.signing_key)
        assert len(fal_side.book.calls("jwks")) == 1

    def test_a_call_that_came_while_the_keys_were_away_is_judged_once_they_are_there(
        self, fal_side: FalFarSide, clock: list[float]
    ) -> None:
        keys, forger = SigningKeys(f"{fal_side.url}/.well-known/jwks.json"), Ed25519PrivateKey.generate()
        fal_side.faults.add("error", path="jwks")
        for key in (fal_side.signing_key, forger):
            with pytest.raises(Unjudged):
                self.signed_by(keys, key)
        clock[0] += 6
        assert not self.signed_by(keys, forger), "the keys were fetched for it"
        assert self.signed_by(keys, fal_side.signing_key)
