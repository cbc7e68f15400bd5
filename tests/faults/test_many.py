"""Many jobs while workers are killed at random: `HEADRACE_JOBS` says how many (100,000 take a quarter of an hour), else few."""

import os
import random
import time

import pytest

from models.catalogue import entries
from models.db import transaction
from models.jobs.admission import Accepted
from models.jobs.dispatch import Ring
from tests.faults.test_faults import KINDS, SEED, assert_all_is_well, make_models, revive_all
from tests.support import System, account, one, order, place
from workers import doorbell

JOBS = int(os.environ.get("HEADRACE_JOBS", "1500"))
ACCOUNTS = 50
TOGETHER = 100  # orders of a transaction
MOST_ALIVE = 2000
SHARES = {"at-once": 90, "slow": 3, "polled": 3, "wobbly": 2, "limited": 1, "hopeless": 1}
pytestmark = [pytest.mark.faults, pytest.mark.timeout(300 + JOBS // 20)]


def test_of_many_jobs_none_is_lost_or_paid_twice_while_workers_are_killed_at_random(system: System) -> None:
    print(f"\nseed {SEED}", end=" ")
    rng, killed = random.Random(SEED), list[str]()
    assert set(SHARES) == set(KINDS) == set(make_models())
    with transaction() as conn:
        known = entries.offers(conn)
    offers = [known[name] for name in SHARES]
    owners = [account(amount=JOBS, plan="studio") for _ in range(ACCOUNTS)]
    system.start("api", "worker", "scheduler")
    accepted: list[str] = []
    begun = time.monotonic()
    kill_at = begun
    while len(accepted) < JOBS or one("select count(*) from job_runs") != (0,):
        if time.monotonic() >= kill_at:
            victim = rng.choice(("worker", "worker.2"))
            if system.processes.alive(victim):
                system.processes.kill(victim)
                killed.append(victim)
            revive_all(system, killed)
            kill_at = time.monotonic() + rng.uniform(1, 6)
        if len(accepted) < JOBS and one("select count(*) from job_runs")[0] < MOST_ALIVE:
            chosen = rng.choices(offers, list(SHARES.values()), k=TOGETHER)
            orders = [order(rng.choice(owners), offer, {"seed": number}) for number, offer in enumerate(chosen)]
            answers = [each for each in place(*orders) if isinstance(each, Accepted)]
            assert len(answers) == TOGETHER
            doorbell.ring([Ring(each.job_id, each.queue) for each in answers if each.dispatched])
            accepted += [str(each.job_id) for each in answers]
        else:
            time.sleep(0.1)
        assert time.monotonic() < begun + 200 + JOBS // 25, "the jobs do not end"
    took = time.monotonic() - begun
    assert_all_is_well(system, accepted)
    assert killed
    print(f"{len(accepted):,} jobs, {len(killed)} kills, {took:.0f} s", end=" ")
