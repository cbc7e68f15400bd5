"""What every provider must do, whatever its wire looks like. A provider joins with one subclass of `Contract`."""

import time
from abc import ABC, abstractmethod
from uuid import uuid4

import pytest

from workers.providers.base import Done, Outcome, OutcomeUnknown, Pending, Provider, ProviderError, Request


class Contract(ABC):
    """Give a provider and requests for each situation."""

    # Situations that this provider cannot be in: nothing is "polled" or "slow" where every answer comes at once.
    LACKS: frozenset[str] = frozenset()
    # The far side remembers nothing that has ended, so an id that it never knew looks like one whose result was lost.
    FORGETS = False

    @abstractmethod
    def provider(self) -> Provider: ...

    @abstractmethod
    def request(self, situation: str, **changes: object) -> Request:
        """For "at once", "polled", "fails", "fails and may be retried", "limited", "lost answer", "slow"."""

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
