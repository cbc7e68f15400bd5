"""Live events that go on after cuts and restarts, without a gap."""

import time
from collections.abc import Callable, Generator

import httpx

from headrace_client._calls import Call
from headrace_client._frames import Frames
from headrace_client._retries import Deadline, Tries
from headrace_client._sync.sending import Sender, is_for_now
from headrace_client.errors import ConnectionFailed, Refused
from headrace_client.models import Event


def listen(
    sender: Sender,
    call: Call,
    *,
    after: int | None,
    is_last: Callable[[Event], bool],
    deadline: Deadline,
) -> Generator[Event, None, None]:
    """The events of a stream, until the last one or the deadline. Wherever it breaks off, it goes on after the last number that
    came. Raises ConnectionFailed where it cannot for as long as the client's patience.
    """
    last = after
    tries = Tries(sender.limits.patience)
    why: Exception | None = None
    while deadline.remaining > 0:
        wanted = None
        resume = {} if last is None else {"Last-Event-ID": str(last)}
        silence = min(sender.limits.silence, deadline.remaining)
        try:
            opening = sender.opened(call, accept="text/event-stream", headers=resume, silence=silence)
            with opening as response:
                if response.status_code == httpx.codes.NO_CONTENT:
                    return  # the job has ended, and its end is known here
                frames = Frames()
                for chunk in response.iter_bytes():
                    tries.forget()
                    for event in frames.feed(chunk):
                        last = last if event.number is None else event.number
                        yield event
                        if is_last(event):
                            return
                    if deadline.remaining <= 0:
                        return
        except (httpx.TransportError, Refused) as error:
            why, wanted = error, _passing(error)
        pause = tries.pause(wanted)
        if pause is None:
            raise _given_up(call, why)
        time.sleep(min(pause, deadline.remaining))


def _passing(error: httpx.TransportError | Refused) -> float | None:
    """How long the server wants to be left alone. Raises the error itself where it does not pass."""
    if isinstance(error, httpx.TransportError):
        return None
    # The account's other streams may stay open for hours.
    if not is_for_now(error) or error.code == "too_many_listeners":
        raise error
    return error.retry_after


def _given_up(call: Call, why: Exception | None) -> Exception:
    if isinstance(why, Refused):
        return why
    return ConnectionFailed(f"the stream {call.path} breaks off again and again: {why or 'the server ends it'}")
