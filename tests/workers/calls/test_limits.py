"""Limits and circuit breakers that all workers share, on the real server."""

import multiprocessing
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest.mock import patch

import pytest
import redis

from cli.embedded.servers import Addresses
from models.catalogue.providers import ProviderLimits
from workers.calls.limits import PARTS, Denied, Granted, Pressure, Report, close, pressure

NONE = ProviderLimits()
BREAKER = ProviderLimits(faults=3, window_seconds=60, rest_seconds=10, rest_max_seconds=35)


@pytest.fixture
def url(stack: Addresses) -> str:
    with redis.Redis.from_url(stack.redis_url) as client:
        client.flushall()
    return stack.redis_url


@pytest.fixture
def limiter(url: str) -> Iterator[Pressure]:
    made = Pressure(url)
    yield made
    made.close()


def granted(limiter: Pressure, limits: ProviderLimits, member: str, **options: Any) -> bool:
    return isinstance(limiter.acquire("p", limits, member, **options), Granted)


def contend(url: str, name: str, seconds: float, threads: int) -> None:
    """Take and give back slots, and keep count on the server of how many hold one at once."""
    limiter, counter = Pressure(url), redis.Redis.from_url(url)
    end = time.monotonic() + seconds

    def work(number: int) -> None:
        while time.monotonic() < end:
            member = f"{name}:{number}"
            if granted(limiter, ProviderLimits(concurrency=3), member):
                counter.rpush("test:seen", counter.incr("test:holding"))
                time.sleep(0.005)
                counter.decr("test:holding")
                limiter.release("p", member)
            else:
                time.sleep(0.005)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, range(threads)))
    limiter.close()
    counter.close()


def test_eight_threads_in_two_processes_never_hold_more_than_three_slots(url: str, limiter: Pressure) -> None:
    other = multiprocessing.get_context("spawn").Process(target=contend, args=(url, "other", 1.5, 4))
    other.start()
    contend(url, "here", 3.0, 4)
    other.join(30)
    assert other.exitcode == 0
    with redis.Redis.from_url(url) as client:
        seen = [int(each) for each in client.lrange("test:seen", 0, -1)]
    assert max(seen) == 3
    assert len(seen) > 30
    state = limiter.states({"p": ProviderLimits(concurrency=3)})
    assert state is not None
    assert (state["p"].slots_used, state["p"].slots_free) == (0, 3)


def test_a_slot_is_held_once_by_a_member_and_its_release_lets_the_next_in(limiter: Pressure) -> None:
    one = ProviderLimits(concurrency=1)
    assert granted(limiter, one, "a")
    assert granted(limiter, one, "a")
    denied = limiter.acquire("p", one, "b")
    assert isinstance(denied, Denied)
    assert (denied.reason, denied.seconds) == ("full", 1.0)
    further = limiter.acquire("p", one, "c")  # who comes later is told to wait longer
    assert isinstance(further, Denied)
    assert further.seconds == 2.0
    assert granted(limiter, NONE, "c")  # another configuration: no limit
    limiter.release("p", "c")
    limiter.release("p", "a")
    assert granted(limiter, one, "b")


def test_the_slot_of_a_killed_worker_lapses(limiter: Pressure) -> None:
    two = ProviderLimits(concurrency=2)
    assert granted(limiter, two, "killed", lease_seconds=30)
    assert granted(limiter, two, "kept", lease_seconds=60)
    limiter.offset_seconds = 20
    assert not granted(limiter, two, "next")
    limiter.offset_seconds = 31
    assert granted(limiter, two, "next")
    assert not granted(limiter, two, "one more")


def test_no_window_of_a_minute_holds_more_calls_than_allowed(limiter: Pressure) -> None:
    limits = ProviderLimits(per_minute=10)
    calls = []
    for step in range(0, 3000, 13):  # 300 seconds, in steps that do not divide the minute
        limiter.offset_seconds = step / 10
        if granted(limiter, limits, f"m{step}"):
            calls.append(step / 10)
    assert all(sum(start <= call < start + 59.5 for call in calls) <= 10 for start in calls)
    assert len(calls) >= 50  # and no window is left unused


def test_threads_together_make_as_many_calls_as_allowed(limiter: Pressure) -> None:
    limits = ProviderLimits(per_minute=25)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: limiter.acquire("p", limits, f"m{n}"), range(100)))
    denied = [each for each in answers if isinstance(each, Denied)]
    assert len(denied) == 75
    assert {each.reason for each in denied} == {"rate"}
    # The first 25 are told the first minute, the next the second: they do not all come back at once.
    waits = sorted(each.seconds for each in denied)
    assert 58 < waits[0] <= 60
    assert 118 < waits[30] <= 120
    assert waits[-1] > 178


def opened(limiter: Pressure, limits: ProviderLimits = BREAKER) -> None:
    for number in range(limits.faults):
        assert granted(limiter, limits, f"f{number}")
        limiter.report("p", limits, f"f{number}", Report.FAULT, account="a")


def resting(limiter: Pressure, limits: ProviderLimits = BREAKER) -> float:
    states = limiter.states({"p": limits})
    assert states is not None
    return round(states["p"].resting_seconds)


def test_faults_open_the_circuit_and_one_probe_among_sixteen_threads_closes_it(limiter: Pressure) -> None:
    opened(limiter)
    denied = limiter.acquire("p", BREAKER, "x")
    assert isinstance(denied, Denied)
    assert denied.reason == "resting"
    assert 9 < denied.seconds <= 10
    limiter.report("p", BREAKER, "straggler", Report.OK, account="a")  # began before it opened: decides nothing
    assert resting(limiter) == 10
    limiter.offset_seconds = 11
    start = threading.Barrier(16)

    def ask(number: int) -> Granted | Denied:
        start.wait(10)
        return limiter.acquire("p", BREAKER, f"m{number}")

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(ask, range(16)))
    probes = [number for number, each in enumerate(answers) if isinstance(each, Granted)]
    assert len(probes) == 1
    assert answers[probes[0]] == Granted(probe=True)
    assert {each.reason for each in answers if isinstance(each, Denied)} == {"probing"}
    limiter.report("p", BREAKER, f"m{(probes[0] + 1) % 16}", Report.OK, account="a")  # not the probe
    assert not granted(limiter, BREAKER, "y")
    limiter.report("p", BREAKER, f"m{probes[0]}", Report.OK, account="a")
    assert limiter.acquire("p", BREAKER, "y") == Granted(probe=False)


def test_a_rest_doubles_to_its_ceiling_while_probes_fail(limiter: Pressure) -> None:
    opened(limiter)
    rests = []
    for turn in range(4):
        rests.append(resting(limiter))
        limiter.offset_seconds += rests[-1] + 1
        assert granted(limiter, BREAKER, f"probe{turn}")
        limiter.report("p", BREAKER, f"probe{turn}", Report.FAULT, account="a")
    assert rests == [10, 20, 35, 35]


def test_a_circuit_that_opens_soon_after_it_closed_rests_longer_and_later_it_begins_anew(limiter: Pressure) -> None:
    for expected, quiet in ((10, 0), (20, 0), (35, 70), (10, 0)):
        opened(limiter)
        assert resting(limiter) == expected
        limiter.offset_seconds += expected + 1
        assert granted(limiter, BREAKER, "probe")
        limiter.report("p", BREAKER, "probe", Report.OK, account="a")
        limiter.offset_seconds += quiet


def test_a_probe_that_is_killed_limited_or_given_back_makes_room_for_another(limiter: Pressure) -> None:
    opened(limiter)
    limiter.offset_seconds = 11
    assert granted(limiter, BREAKER, "killed", lease_seconds=30)
    assert not granted(limiter, BREAKER, "next")
    limiter.offset_seconds = 42
    assert granted(limiter, BREAKER, "next", lease_seconds=30)
    limiter.report("p", BREAKER, "next", Report.LIMITED, account="a", retry_after_seconds=5)
    limiter.offset_seconds = 48
    assert limiter.acquire("p", BREAKER, "third") == Granted(probe=True)
    limiter.release("p", "third")  # put back without having asked
    assert limiter.acquire("p", BREAKER, "fourth") == Granted(probe=True)


def test_refusals_limits_and_old_faults_do_not_open_the_circuit(limiter: Pressure) -> None:
    for number in range(20):
        limiter.report("p", BREAKER, f"m{number}", Report.REFUSED, account="a")
        limiter.report("p", BREAKER, f"m{number}", Report.LIMITED, account="a", retry_after_seconds=0.0)
    limiter.report("p", BREAKER, "a", Report.FAULT, account="a")
    limiter.report("p", BREAKER, "b", Report.FAULT, account="a")
    limiter.offset_seconds = 61
    limiter.report("p", BREAKER, "c", Report.FAULT, account="a")
    assert granted(limiter, BREAKER, "d")
    states = limiter.states({"p": BREAKER})
    assert states is not None
    assert states["p"].faults == 1


def test_a_refusal_by_a_probe_shows_that_the_provider_works(limiter: Pressure) -> None:
    opened(limiter)
    limiter.offset_seconds = 11
    assert granted(limiter, BREAKER, "probe")
    limiter.report("p", BREAKER, "probe", Report.REFUSED, account="a")
    assert limiter.acquire("p", BREAKER, "x") == Granted()


def test_a_429_holds_for_every_worker_until_its_time(url: str, limiter: Pressure) -> None:
    other = Pressure(url)
    assert granted(limiter, NONE, "a")
    limiter.report("p", NONE, "a", Report.LIMITED, account="a", retry_after_seconds=7)
    limiter.report(
        "p", NONE, "a", Report.LIMITED, account="a", retry_after_seconds=2
    )  # a shorter one does not shorten it
    denied = other.acquire("p", NONE, "b")
    assert isinstance(denied, Denied)
    assert denied.reason == "limited"
    assert 6 < denied.seconds <= 7
    assert isinstance(other.acquire("q", NONE, "b"), Granted)  # another provider
    other.offset_seconds = 8
    assert granted(other, NONE, "b")
    other.close()


def test_a_call_that_goes_on_keeps_its_slot(limiter: Pressure) -> None:
    one = ProviderLimits(concurrency=1, per_minute=2)
    assert granted(limiter, one, "a")
    limiter.report("p", one, "a", Report.OK, account="a", release=False)
    assert not granted(limiter, one, "b")
    states = limiter.states({"p": one, "q": one})
    assert states is not None
    held, free = states["p"], states["q"]
    assert (held.slots_used, held.slots_free, held.calls_last_minute, held.calls_left) == (1, 0, 1, 1)
    assert (held.slot_seconds, held.call_seconds, held.half_open) == (1.0, 0.0, False)
    assert (free.slots_used, free.slots_free, free.calls_left) == (0, 1, 2)
    limiter.report("p", one, "a", Report.OK, account="a")
    assert granted(limiter, one, "b")
    full = limiter.states({"p": one})
    assert full is not None
    assert full["p"].calls_left == 0
    assert 59 < full["p"].call_seconds <= 60


def test_a_flush_and_a_restart_without_scripts_harm_nothing(url: str, limiter: Pressure) -> None:
    one = ProviderLimits(concurrency=1)
    assert granted(limiter, one, "a")
    with redis.Redis.from_url(url) as client:
        client.flushall()
        client.script_flush()
    assert granted(limiter, one, "b")
    limiter.report("p", one, "a", Report.OK, account="a")
    assert not granted(limiter, one, "d")


def used(limiter: Pressure) -> None:
    """Everything, on a Redis that is away."""
    assert granted(limiter, ProviderLimits(concurrency=1, per_minute=1), "a")
    assert granted(limiter, ProviderLimits(concurrency=1, per_minute=1), "b")
    limiter.report("p", NONE, "a", Report.FAULT, account="a")
    limiter.release("p", "a")
    assert limiter.states({"p": NONE}) is None
    limiter.close()


def test_without_redis_work_goes_on_without_limits(caplog: pytest.LogCaptureFixture) -> None:
    started = time.monotonic()
    used(Pressure("redis://127.0.0.1:1/0"))
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections and never answers
        used(Pressure(f"redis://127.0.0.1:{silent.getsockname()[1]}/0"))
    assert time.monotonic() - started < 4  # only the first call waits
    assert len(caplog.records) == 2  # one line for each of the two


@pytest.mark.usefixtures("database")
def test_a_process_has_one_set_of_limits() -> None:
    assert pressure() is pressure()
    assert pressure().states({}) == {}
    close()


# Whose faults they are

ROOMY = ProviderLimits(faults=4, window_seconds=60, rest_seconds=10)


def faults(limiter: Pressure, *accounts: str, limits: ProviderLimits = ROOMY) -> None:
    for number, account in enumerate(accounts):
        limiter.report("p", limits, f"m{number}", Report.FAULT, account=account)


def test_the_faults_of_one_account_do_not_rest_a_provider_that_others_use(limiter: Pressure) -> None:
    limiter.report("p", ROOMY, "m", Report.OK, account="b")
    faults(limiter, *["a"] * 20)
    assert resting(limiter, ROOMY) == 0
    assert granted(limiter, ROOMY, "n")
    faults(limiter, "b")  # two have asked, and for both it fails
    assert resting(limiter, ROOMY) == 10


def test_among_many_accounts_three_with_faults_rest_a_provider(limiter: Pressure) -> None:
    for account in "abcdef":
        limiter.report("p", ROOMY, "m", Report.REFUSED, account=account)
    faults(limiter, *["a"] * 5, *["b"] * 5)
    assert resting(limiter, ROOMY) == 0
    faults(limiter, "c")
    assert resting(limiter, ROOMY) == 10


def test_an_account_that_is_the_only_one_rests_a_provider_by_itself(limiter: Pressure) -> None:
    limiter.report("p", ROOMY, "m", Report.OK, account="b")
    limiter.offset_seconds = 61  # b has not asked since
    faults(limiter, "a", "a", "a")
    assert resting(limiter, ROOMY) == 0
    faults(limiter, "a")
    assert resting(limiter, ROOMY) == 10


def test_two_faults_that_are_enough_need_two_accounts_at_most(limiter: Pressure) -> None:
    two = ProviderLimits(faults=2, window_seconds=60, rest_seconds=10)
    for account in "abc":
        limiter.report("p", two, "m", Report.OK, account=account)
    faults(limiter, "a", "b", limits=two)
    assert resting(limiter, two) == 10


def test_faults_of_long_ago_are_nobodys(limiter: Pressure) -> None:
    faults(limiter, "a", "b", "c")
    limiter.offset_seconds = 61
    faults(limiter, "a", "a", "a")
    assert resting(limiter, ROOMY) == 0


def test_a_customers_own_key_is_counted_apart(limiter: Pressure) -> None:
    theirs = "p@a"
    one = ProviderLimits(concurrency=1, faults=1)
    assert isinstance(limiter.acquire(theirs, one, "x"), Granted)
    limiter.report(theirs, one, "x", Report.LIMITED, account="a", retry_after_seconds=60)
    limiter.report(theirs, one, "x", Report.FAULT, account="a")
    assert isinstance(limiter.acquire(theirs, one, "y"), Denied)
    assert granted(limiter, one, "z")
    states = limiter.states({"p": one, theirs: one})
    assert states is not None
    assert (states["p"].resting_seconds, states["p"].limited_seconds, states["p"].slots_used) == (0, 0, 1)
    assert states[theirs].limited_seconds > 0
    assert states[theirs].resting_seconds > 0


@pytest.mark.parametrize(("told", "held"), [
    (86_400.0, 300), (float("inf"), 300), (1e300, 300), (float("nan"), 5), (-7.0, 0), (12.0, 12), (None, 5),
])  # fmt: skip
def test_no_429_holds_everybody_longer_than_five_minutes(limiter: Pressure, told: float | None, held: int) -> None:
    limiter.report("p", NONE, "a", Report.LIMITED, account="a", retry_after_seconds=told)
    states = limiter.states({"p": NONE})
    assert states is not None
    assert round(states["p"].limited_seconds) == held


# Giving back


@pytest.mark.parametrize("how", ["released", "reported"])
def test_a_slot_that_is_free_while_redis_is_away_is_given_back_when_it_is_there(limiter: Pressure, how: str) -> None:
    one = ProviderLimits(concurrency=1)
    assert granted(limiter, one, "a")
    with patch.object(limiter._rest, "_until", float("inf")):
        if how == "released":
            limiter.release("p", "a")
        else:
            limiter.report("p", one, "a", Report.OK, account="a")
    assert granted(limiter, one, "b")
    assert not granted(limiter, one, "a"), "it was given back twice"


def test_a_slot_can_be_given_back_twice_and_by_who_never_had_one(limiter: Pressure) -> None:
    one = ProviderLimits(concurrency=1)
    assert granted(limiter, one, "a")
    for _ in range(2):
        limiter.release("p", "a")
    assert granted(limiter, one, "b")
    limiter.release("p", "a")
    limiter.report("p", one, "a", Report.OK, account="a")
    limiter.release("p", "nobody")
    assert not granted(limiter, one, "c")  # b's is still b's
    limiter.release("p", "b")
    assert granted(limiter, one, "c")


def test_who_waits_no_longer_is_not_in_the_way_of_others(limiter: Pressure) -> None:
    one = ProviderLimits(concurrency=1)
    assert granted(limiter, one, "a")
    for number in range(5):
        assert not granted(limiter, one, f"waits{number}")
        limiter.release("p", f"waits{number}")
    denied = limiter.acquire("p", one, "b")
    assert isinstance(denied, Denied)
    assert denied.seconds == 1.0


def test_giving_back_is_one_call_to_the_server_and_leaves_nothing_that_stays(url: str, limiter: Pressure) -> None:
    limiter.release("p", "warm")
    with redis.Redis.from_url(url) as client:
        before = client.info("commandstats")["cmdstat_evalsha"]["calls"]
        limiter.release("p", "a")
        assert client.info("commandstats")["cmdstat_evalsha"]["calls"] == before + 1
        faults(limiter, "a", "b", "c")
        limiter.acquire("p", ProviderLimits(concurrency=1, per_minute=1), "x")
        limiter.acquire("p", ProviderLimits(concurrency=1, per_minute=1), "y")
        kept = list(client.scan_iter("headrace:provider:*"))
        assert len(kept) == len(PARTS)
        assert all(client.ttl(key) > 0 for key in kept)
