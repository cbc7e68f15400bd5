"""What a scheduler does, in processes that are killed at random."""

import logging
import multiprocessing
import random
from multiprocessing.process import BaseProcess

from scheduler.main import duties, run_turn

# The audit is for the end; objects in the bucket have tests of their own, and nothing of a year's money hangs on them.
LEFT_OUT = {"audit", "purge_results", "reap_strays", "purge_uploads", "reap_uploads", "reap_inputs", "abort_uploads"}


def run() -> None:
    """All duties once, as a scheduler's threads would, one after the other."""
    logging.disable(logging.WARNING)  # of companies that do not answer
    for duty in duties():
        if duty.name not in LEFT_OUT:
            run_turn(duty)


class Schedulers:
    """Starts passes of schedulers: two at once, and of each some are killed in the middle of it."""

    def __init__(self, rng: random.Random, kill_share: float) -> None:
        self._rng, self._kill_share = rng, kill_share
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["scheduler.main", "tests.year.passes"])
        self.started = self.killed = 0

    def pass_once(self, *, kills: bool = True) -> None:
        """Run two passes side by side to their end, or their death. Raises AssertionError where one failed by itself."""
        children = [self._context.Process(target=run) for _ in range(2)]
        victims: list[tuple[BaseProcess, float]] = []
        for child in children:
            child.start()
            self.started += 1
            if kills and self._rng.random() < self._kill_share:
                victims.append((child, self._rng.uniform(0.02, 0.6)))
        for child, seconds in victims:
            child.join(seconds)
            if child.is_alive():
                child.kill()
                self.killed += 1
        for child in children:
            child.join(120)
            assert child.exitcode in (0, -9), f"a pass of the scheduler ended with {child.exitcode}"
