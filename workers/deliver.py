"""A sending process: `python -m workers.deliver [--threads N]`. Any number may run.

Each thread holds one line of deliveries at a time (models/lines.py) and sends what is due on it, one after the other, for
a while; then the next line has its turn. A receiver that hangs so costs a thread its time-out, and its own line; lines
whose last attempt failed get at most half of the threads.
"""

import argparse
import logging
import os
import secrets
import signal
import socket
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor

from common import scratch
from common.faultpoints import reached
from models import db, lines
from models.db import transaction
from models.lines import Line, Outcome, Parcel
from models.settings import settings
from workers import receivers

log = logging.getLogger("deliver")

TURN_SECONDS = 5.0  # a line lets go after this long, so that one with much to send keeps nobody waiting
TURN_DELIVERIES = 50
PROBLEM_PAUSE = 1.0


class Sender:
    """Claims lines and gives them to threads."""

    def __init__(self, threads: int) -> None:
        self.name = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}"
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="deliver")
        self._busy: dict[Future[None], bool] = {}  # and whether its line is a suspect
        self._free = threading.Event()

    def run(self, stopping: threading.Event) -> None:
        """Send until `stopping` is set; then what is under way is finished."""
        while not stopping.is_set():
            pause = settings().deliver_poll_seconds
            try:
                if self._claim(stopping):
                    continue
            except Exception:
                log.exception("lines could not be claimed; trying again")
                pause = PROBLEM_PAUSE
            # With all threads busy a claim is of no use before one is free; otherwise look again soon.
            if self._free.wait(pause):
                self._free.clear()
                stopping.wait(0.01)  # several that end together are one look
        self._pool.shutdown(wait=True)

    def _claim(self, stopping: threading.Event) -> bool:
        self._busy = {future: suspect for future, suspect in self._busy.items() if not future.done()}
        free = self._threads - len(self._busy)
        if free <= 0:
            return False
        suspects = max(1, self._threads // 2) - sum(self._busy.values())
        with transaction() as conn:
            claimed = lines.claim(conn, self.name, free, suspects=min(free, max(0, suspects)))
        for line, suspect in claimed:
            future = self._pool.submit(serve, line, stopping)
            self._busy[future] = suspect
            future.add_done_callback(lambda _: self._free.set())
        return len(claimed) == free


def serve(line: Line, stopping: threading.Event) -> None:
    """Send what is due on a claimed line, for a turn. Whatever goes wrong here, the lease lapses and it is sent again."""
    try:
        _turn(line, stopping)
    except Exception:
        log.exception("line %s broke off; it goes on when its lease has lapsed", line.id)


def _turn(line: Line, stopping: threading.Event) -> None:
    began, parcel, failures = time.monotonic(), *_first(line)
    for count in range(1, TURN_DELIVERIES + 1):
        if parcel is None:
            return
        reached("deliver:before")
        outcome = receivers.deliver(parcel, failures)
        reached("deliver:sent")
        failures = 0 if outcome.delivered else failures + 1
        over = count == TURN_DELIVERIES or time.monotonic() - began > TURN_SECONDS or stopping.is_set()
        parcel = _recorded(line, parcel, outcome, over=over)


def _first(line: Line) -> tuple[Parcel | None, int]:
    with transaction() as conn:
        return lines.take(conn, line), lines.failures(conn, line)


def _recorded(line: Line, parcel: Parcel, outcome: Outcome, *, over: bool) -> Parcel | None:
    """Write down what became of one and take the next, in one transaction."""
    with transaction() as conn:
        if not lines.record(conn, line, parcel, outcome):
            return None
        if over:
            lines.release(conn, line)
            return None
        return lines.take(conn, line)


def main(argv: list[str] | None = None) -> None:
    """Run until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m workers.deliver", description=__doc__)
    parser.add_argument("--threads", type=int, default=settings().deliver_threads)
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    scratch.tidy()
    sender = Sender(options.threads)
    log.info("sender %s has %d threads", sender.name, options.threads)
    sender.run(stopping)
    db.close()


if __name__ == "__main__":
    main()
