"""What every provider must do, whatever its wire looks like. A provider joins with one subclass of `Contract`."""

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from tests.far_side.callbacks import came
from workers.providers.base import (
    Callback,
    Done,
    InputFile,
    NotFetched,
    Outcome,
    OutcomeUnknown,
    Pending,
    Provider,
    ProviderError,
    Request,
    Unjudged,
)

NUL_AND_SURROGATE = "no\x00 \ud800thing"  # JSON can carry both, PostgreSQL neither
HOUR = 3600.0


class NotOurs(Exception):
    """What a worker raises who finds that the job was taken from it."""


class Contract(ABC):
    """Give a provider and requests for each situation."""

    # Situations that this provider cannot be in: nothing is "polled" or "slow" where every answer comes at once, "signed"
    # where calls back are not, "addressed" where results never lie at an address, "files" where no file is taken.
    LACKS: frozenset[str] = frozenset()
    # The far side remembers nothing that has ended, so an id that it never knew looks like one whose result was lost.
    FORGETS = False
    FILE_FIELD = "image"

    @abstractmethod
    def provider(self) -> Provider: ...

    @abstractmethod
    def request(self, situation: str, **changes: Any) -> Request:
        """For "at once", "polled", "fails", "fails and may be retried", "limited", "lost answer", "slow", "addressed" (the
        result lies at an address), "unstorable refusal" (with NUL_AND_SURROGATE in it).
        """

    @abstractmethod
    def reached(self) -> int:
        """How many calls came to the far side, or as many of them as it knows of."""

    def far(self) -> Any:
        """The far side with its `faults` and its `book`, where it is one of ours."""
        pytest.skip("this far side takes no orders")

    def told(self, word: str, known_as: str) -> bytes:
        """The body of a call back about a generation: "done", "failed" or "progress"."""
        pytest.skip("this provider calls nobody back")

    def signed(self, body: bytes, at: float) -> dict[str, str]:
        """The headers of a call back that was sent at this time."""
        return {}

    def key(self) -> str:
        return f"{uuid4()}:1"

    def needs(self, situation: str) -> None:
        if situation in self.LACKS:
            pytest.skip(f"this provider has no situation {situation!r}")

    def finished(self, request: Request, outcome: Outcome | None) -> Done:
        end = time.monotonic() + 20
        while not isinstance(outcome, Done):
            assert time.monotonic() < end
            assert isinstance(outcome, Pending)
            assert outcome.provider_job_id
            assert outcome.poll_after_seconds > 0
            assert outcome.progress is None or 0 <= outcome.progress <= 100
            time.sleep(min(outcome.poll_after_seconds, 0.2))
            outcome = self.provider().poll(request, outcome.provider_job_id)
        return outcome

    @pytest.mark.parametrize("situation", ["at once", "polled"])
    def test_a_generation_ends_with_outputs_that_open_more_than_once(self, situation: str) -> None:
        self.needs(situation)
        request = self.request(situation)
        done = self.finished(request, self.provider().start(request, self.key()))
        assert done.outputs
        for output in done.outputs:
            first, second = b"".join(output.chunks()), b"".join(output.chunks())
            assert first == second != b""
        assert done.cost_usd_micros is None or done.cost_usd_micros >= 0

    def test_a_finished_result_is_answered_again(self) -> None:
        self.needs("polled")
        request = self.request("polled")
        begun = self.provider().start(request, self.key())
        assert isinstance(begun, Pending)
        results = [self.finished(request, begun) for _ in range(2)]
        assert len({b"".join(done.outputs[0].chunks()) for done in results}) == 1

    @pytest.mark.parametrize(("situation", "retryable", "limited"), [
        ("fails", False, False), ("fails and may be retried", True, False), ("limited", True, True),
    ])  # fmt: skip
    def test_a_failure_says_whether_another_try_helps(self, situation: str, retryable: bool, limited: bool) -> None:
        with pytest.raises(ProviderError) as caught:
            request = self.request(situation)
            self.finished(request, self.provider().start(request, self.key()))
        assert (caught.value.retryable, caught.value.limited) == (retryable, limited)
        assert caught.value.code
        assert caught.value.message

    def test_a_lost_answer_is_recovered_as_the_provider_says(self) -> None:
        request, key = self.request("lost answer"), self.key()
        with pytest.raises(OutcomeUnknown):
            self.provider().start(request, key)
        if self.provider().recovery(request) == "lookup":
            self.finished(request, self.provider().lookup(request, key))
            assert self.FORGETS or self.provider().lookup(request, self.key()) is None

    def test_a_generation_can_be_canceled(self) -> None:
        self.needs("slow")
        request = self.request("slow")
        begun = self.provider().start(request, self.key())
        assert isinstance(begun, Pending)
        self.provider().cancel(request, begun.provider_job_id)
        with pytest.raises(ProviderError):
            self.finished(request, self.provider().poll(request, begun.provider_job_id))

    def test_an_unknown_generation_is_a_failure_for_good(self) -> None:
        if self.FORGETS:
            pytest.skip("this far side tells no unknown generation from a forgotten one")
        with pytest.raises(ProviderError) as caught:
            self.provider().poll(self.request("at once" if "polled" in self.LACKS else "polled"), "no-such-generation")
        assert not caught.value.retryable

    # What begins a generation

    def file(self, happened: list[str]) -> dict[str, InputFile]:
        def chunks() -> Iterator[bytes]:
            happened.append("file")
            yield b"abc"

        return {} if "files" in self.LACKS else {self.FILE_FIELD: InputFile("image/png", 3, chunks)}

    def start_of(self, situation: str, **changes: Any) -> Request:
        return self.request("at once" if situation not in self.LACKS else "polled", **changes)

    def test_a_start_is_confirmed_once_all_is_ready_and_nothing_is_sent_before(self) -> None:
        happened: list[str] = []
        reached = []

        def confirm() -> None:
            happened.append("confirm")
            reached.append(self.reached())

        before = self.reached()
        request = self.start_of("at once", files=self.file(happened), confirm=confirm)
        self.finished(request, self.provider().start(request, self.key()))
        assert happened.count("confirm") == 1
        assert happened[-1] == "confirm" or "file" not in happened[happened.index("confirm") :]
        assert reached == [before]
        assert self.reached() > before

    @pytest.mark.parametrize("raised", [NotOurs("taken"), KeyboardInterrupt()])
    def test_what_a_confirmation_raises_goes_through_and_nothing_is_sent(self, raised: BaseException) -> None:
        def confirm() -> None:
            raise raised

        before = self.reached()
        with pytest.raises(type(raised)) as caught:
            self.provider().start(self.start_of("at once", confirm=confirm), self.key())
        assert caught.value is raised
        assert self.reached() == before

    def test_questions_and_cancels_confirm_nothing(self) -> None:
        self.needs("slow")
        asked: list[None] = []
        request = self.request("slow", confirm=lambda: asked.append(None))
        begun = self.provider().start(request, self.key())
        assert isinstance(begun, Pending)
        assert len(asked) == 1
        self.provider().poll(request, begun.provider_job_id)
        self.provider().cancel(request, begun.provider_job_id)
        assert len(asked) == 1

    # Where results lie

    def test_a_result_at_an_address_can_be_had_from_the_address_alone(self) -> None:
        self.needs("addressed")
        request = self.request("addressed")
        done = self.finished(request, self.provider().start(request, self.key()))
        for output in done.outputs:
            assert output.address is not None
            assert output.address.startswith("http")
            again = self.provider().output(request, output.address, "image/x-other")
            assert b"".join(again.chunks()) == b"".join(output.chunks()) != b""
            assert (again.address, again.claimed_media_type) == (output.address, "image/x-other")

    def test_a_result_that_came_along_has_no_address(self) -> None:
        if "addressed" in self.LACKS:
            request = self.request("at once" if "at once" not in self.LACKS else "polled")
            done = self.finished(request, self.provider().start(request, self.key()))
            assert [output.address for output in done.outputs] == [None] * len(done.outputs)

    @pytest.mark.parametrize("address", [
        "https://x.example/\x00", "https://x.example/\ud800", "https://x.example/" + "a" * 9000, "ftp://x.example/a", "",
        "/etc/passwd", "http://", "https://[::bad/", "a sentence",
    ])  # fmt: skip
    def test_an_address_that_cannot_be_kept_or_asked_is_refused(self, address: str) -> None:
        with pytest.raises(ValueError, match="address"):
            self.provider().output(self.request("at once"), address)

    @pytest.mark.parametrize(("kind", "status"), [
        ("error", 404), ("error", 403), ("limited", 429), ("error", 500), ("error", 502), ("drop", 0), ("cut", 0),
    ])  # fmt: skip
    def test_a_result_that_cannot_be_fetched_at_once_is_fetched_and_not_generated_again(
        self, kind: str, status: int
    ) -> None:
        self.needs("addressed")
        request = self.request("addressed")
        done = self.finished(request, self.provider().start(request, self.key()))
        whole = b"".join(done.outputs[0].chunks())
        posts = len(self.far().book.calls(method="POST"))
        more = {"status": status} if kind == "error" else {}
        self.far().faults.add(kind, method="GET", path="/files/", times=2, **more)
        assert _patiently(done) == whole
        assert len(self.far().book.calls(method="POST")) == posts

    def test_the_users_own_key_is_the_key_of_every_call(self) -> None:
        far = self.far()
        for situation in ("at once", "polled", "addressed", "slow"):
            if situation not in self.LACKS:
                request = self.request(situation, api_key="theirs")
                outcome = self.provider().start(request, self.key())
                if situation == "slow":
                    assert isinstance(outcome, Pending)
                    self.provider().poll(request, outcome.provider_job_id)
                    self.provider().cancel(request, outcome.provider_job_id)
                else:
                    b"".join(self.finished(request, outcome).outputs[0].chunks())
        calls = [
            call for call in far.book.calls() if "/files/" not in call["path"] or "authorization" in call["headers"]
        ]
        assert calls
        assert {call["headers"]["authorization"].split()[-1] for call in calls} == {"theirs"}

    # What a provider says

    def test_what_a_provider_says_can_be_kept(self) -> None:
        self.needs("unstorable refusal")
        with pytest.raises(ProviderError) as caught:
            request = self.request("unstorable refusal")
            self.finished(request, self.provider().start(request, self.key()))
        error = caught.value
        for text in (error.code, error.message, str(error)):
            assert "\x00" not in text
            assert text.encode()  # no lone surrogate
        assert "thing" in error.message

    # Calls back

    def called(self, word: str, *, sent: float = 0.0, arrived: float = 0.0, known: str = "g-1") -> Outcome | None:
        """What a call of these ages in seconds says."""
        now = time.time()
        body = self.told(word, "g-1")
        call = came(self.signed(body, now - sent), body, now - arrived)
        return self.provider().callback(self.request("called back"), known, call)

    def test_a_call_back_is_the_last_word_or_progress(self) -> None:
        assert isinstance(self.called("done"), Done)
        with pytest.raises(ProviderError):
            self.called("failed")
        progress = self.called("progress")
        assert isinstance(progress, Pending)
        assert progress.provider_job_id == "g-1"
        for word in ("done", "failed", "progress"):
            assert self.called(word, known="another") is None

    def test_a_signature_is_as_old_as_the_call_was_when_it_came(self) -> None:
        assert isinstance(self.called("done", sent=HOUR, arrived=HOUR), Done)  # lay with us for an hour
        assert isinstance(self.called("done", sent=HOUR + 299, arrived=HOUR), Done)
        self.needs("signed")
        for sent, arrived in ((HOUR, 0.0), (0.0, HOUR), (310.0, 0.0), (HOUR + 310, HOUR)):
            assert self.called("done", sent=sent, arrived=arrived) is None

    @pytest.mark.parametrize("known", [None, "g-1"])
    def test_a_call_without_sense_or_signature_is_not_believed_and_raises_nothing(self, known: str | None) -> None:
        good, now = self.told("done", "g-1"), time.time()
        request = self.request("called back")
        bodies = [
            b"", b"{", b"null", b"[]", b"7", b'"x"', b"\xff\xfe\x00", b"[" * 200_000, b"{}", good[: len(good) // 2],
            self.told("done", "\x00"), self.told("done", ""), self.told("done", "g" * 501),
            self.told("done", "../g-1") if "signed" not in self.LACKS else b"{}",
        ]  # fmt: skip
        for body in bodies:
            assert not self.believed(request, known, came(self.signed(body, now), body))
        if "signed" in self.LACKS:
            return
        right = self.signed(good, now)
        for name in right:
            for value in ("", "x", "\x00", "\ud800", "9" * 400, right[name] + "0"):
                assert not self.believed(request, known, came(right | {name: value}, good))
        assert not self.believed(request, known, came({}, good))

    def believed(self, request: Request, known: str | None, call: Callback) -> bool:
        try:
            return self.provider().callback(request, known, call) is not None
        except Unjudged:  # kept until it can be judged
            return False


def _patiently(done: Done) -> bytes:
    """As a worker takes it: what breaks off is opened again."""
    for _ in range(5):
        try:
            return b"".join(done.outputs[0].chunks())
        except NotFetched:
            continue
    raise AssertionError("it could not be fetched")
