"""A process whose threads have died still takes messages and does nothing with them: it must end, and be started again."""

import threading
from collections.abc import Callable

import dramatiq

LOOK_SECONDS = 1.0


def dead_threads(worker: dramatiq.Worker) -> list[str]:
    """The threads of a started worker that run no more: those that work, and those that fetch messages."""
    fetching = {f"consumer of {queue}": thread for queue, thread in worker.consumers.items()}
    working = {f"worker thread {number}": thread for number, thread in enumerate(worker.workers)}
    return [name for name, thread in {**fetching, **working}.items() if not thread.is_alive()]


def until_stopped_or_dead(
    stopping: threading.Event, dead: Callable[[], list[str]], drained: threading.Event | None = None
) -> str | None:
    """Wait until `stopping` is set, or `drained`. Returns the name of a thread that has died before that."""
    while not stopping.wait(LOOK_SECONDS) and not (drained is not None and drained.is_set()):
        names = dead()
        if names:
            return names[0]
    return None
