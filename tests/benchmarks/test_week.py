"""The simulated week: nothing is lost in it, nothing is used beyond its limit, and small tenants do not wait behind large ones."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.week.checking import capacity, predicted, spent_at
from benchmarks.week.playing import Line, Week, limits_of, play, quantile, shape, step, waits, waits_by_size
from benchmarks.week.world import (
    PARTS,
    POSTGRES,
    REMEDIES,
    THREADS,
    Costs,
    Far,
    Operation,
    Tenants,
    World,
    costs_of,
    entering,
    ladder,
    lengthened,
    lightened,
    read_measured,
    saturations,
    shared,
    utilisation,
    vector,
    working,
)  # fmt: skip

HOURS = 3600
_DEAR, _CHEAP = (
    vector({"API": each, "worker": each, "PostgreSQL": each, "S3": each, "Redis": each / 20}) for each in (2.0, 0.5)
)
OPERATION = Operation(np.array([10.0, 500.0]), np.array([_DEAR, _CHEAP]))
COSTS = Costs(
    OPERATION,
    OPERATION,
    OPERATION,
    OPERATION,
    OPERATION,
    idle=vector({"worker": 5.0, "PostgreSQL": 1.0}),
    duties=vector({"PostgreSQL": 50.0}),
    pickup_ms=3.0,
)
SMALL = World(workers=4, worker_hosts=1, api_processes=1, primary_cores=1)


def played(world: World = SMALL, rate: float = 8.0, **fields: int) -> Week:
    return play(world, COSTS, rate, **{"seconds": 6 * HOURS, "accounts": 10_000, **fields})


@pytest.mark.parametrize("rate", [1.0, 8.0, 60.0])
def test_what_was_ordered_has_begun_or_waits(rate: float) -> None:
    week = played(rate=rate)
    np.testing.assert_allclose(week.arrived.sum(axis=0), week.begun.sum(axis=0) + week.waiting, rtol=1e-9, atol=1e-6)
    assert week.arrived.sum() > 0
    assert min(week.begun.min(), week.waiting.min(), week.running.min()) >= -1e-9


@pytest.mark.parametrize("part", PARTS)
def test_no_part_is_used_beyond_its_limit_and_the_one_that_is_short_is_full(part: str) -> None:
    at = PARTS.index(part)
    dear = replace(SMALL, fars=(Far("far", 1, 4, 0.001, 0, 1e6, 1e6),))
    if part == "threads":
        dear = SMALL
    costs = (
        COSTS._replace(job=Operation(np.array([1.0]), np.array([vector({part: 800.0})])))
        if part != "threads"
        else COSTS
    )
    week = play(dear, costs, 60.0, seconds=2 * HOURS, accounts=10_000)
    assert week.used.max() <= 1 + 1e-9
    assert week.used[:, at].max() == pytest.approx(1)
    assert week.waiting.sum() > 0


def test_a_database_without_time_leaves_orders_at_the_door() -> None:
    costs = COSTS._replace(submit=Operation(np.array([1.0]), np.array([vector({"PostgreSQL": 500.0})])))
    week = play(SMALL, costs, 60.0, seconds=HOURS, accounts=10_000)
    assert week.used[:, POSTGRES].max() == pytest.approx(1)
    np.testing.assert_allclose(week.arrived.sum(axis=0), week.begun.sum(axis=0) + week.waiting)


def test_a_provider_has_no_more_at_once_and_a_second_than_it_allows_and_nothing_while_it_is_away() -> None:
    far = Far("far", 1, 60, 0.001, 0, per_second=2, at_once=100, outage_hours=(1, 2))
    week = played(replace(SMALL, fars=(far,)), rate=5.0)
    assert week.running.max() <= 100 + 1e-9
    assert week.running.max() == pytest.approx(100)
    assert week.begun.sum(axis=(1, 2)).max() <= 2 * 30 + 1e-9
    assert week.begun[120:240].sum() == 0
    assert week.begun[240:].sum() > 0


def test_an_account_runs_no_more_at_once_than_it_has_slots() -> None:
    slots, line = np.array([4.0, 50.0]), Line(*(np.zeros((2, 3)),) * 3)
    limits = limits_of(SMALL, COSTS, slots)
    cost = entering(SMALL, COSTS, 1.0), working(SMALL, COSTS, 1.0)
    for came in [np.full((2, 3), 1000.0), *[np.zeros((2, 3))] * 20]:
        line = step(line, came, np.ones(3), limits, cost).line
        assert (line.running.sum(axis=1) <= slots + 1e-9).all()


@pytest.mark.parametrize("world", [World(), SMALL, replace(World(), pooled=True, replica_cores=16)])
def test_more_load_never_lowers_what_is_used(world: World) -> None:
    used = [utilisation(world, COSTS, rate) for rate in np.geomspace(0.1, 1e5, 60)]
    assert (np.diff(used, axis=0) >= 0).all()


def test_what_is_measured_is_cheaper_together_and_priced_between() -> None:
    costs = costs_of(read_measured())
    for operation in (costs.submit, costs.job, costs.poll, costs.read, costs.list):
        assert (operation.at(50.0) <= operation.at(1.0) + 1e-9).all()
        np.testing.assert_allclose(operation.at(1.0), operation.costs[0], atol=1e-6)
        np.testing.assert_allclose(operation.at(1e9), operation.costs[-1], atol=1e-6)
        for rate, cost in zip(operation.rates, operation.costs, strict=True):
            np.testing.assert_allclose(operation.at(rate), cost, atol=1e-6)


def test_small_tenants_do_not_wait_behind_large_ones() -> None:
    """With slots the small wait a round or so where threads are full; first in, first out they wait as long as everybody."""
    busy = replace(SMALL, workers=2)
    fair, plain = (
        waits_by_size(played(replace(busy, fair=each), rate=4.5, seconds=24 * HOURS)) for each in (True, False)
    )
    smallest = list(fair)[-1]
    assert fair[smallest][1] * 4 < plain[smallest][1]
    assert fair[smallest][1] < fair[1, 15][1]


def test_one_job_begins_beside_ten_thousand_of_another_account() -> None:
    """The share of the step that each account gets is one round of its slots, not its part of all that waits."""
    world = replace(SMALL, workers=1, fars=(Far("far", 1, 4, 4, 0, 1e6, 1e6),))
    cost = entering(world, COSTS, 1.0), working(world, COSTS, 1.0)
    came, nothing = np.array([[10_000.0], [1.0]]), np.zeros((2, 1))
    begun = {}
    for fair in (True, False):
        limits = limits_of(replace(world, fair=fair), COSTS, np.array([8.0, 4.0]))._replace(
            budget=np.full(len(PARTS), 1e9)
        )
        limits.budget[THREADS] = 8 * 30_000
        begun[fair] = step(Line(nothing, nothing, nothing), came, np.ones(1), limits, cost).begun[1, 0]
    assert begun[True] == pytest.approx(1)
    assert begun[False] < 0.01


def test_a_seed_gives_the_same_week_and_another_one_another() -> None:
    one, again, other = played(), played(), played(seed=8)
    np.testing.assert_array_equal(one.begun, again.begun)
    assert (one.arrived != other.arrived).any()


def test_tenants_are_all_accounts_and_the_load_has_the_mean_that_was_asked_for() -> None:
    tenants = Tenants.zipf(World(), 100.0)
    assert tenants.accounts.sum() == 1_000_000
    assert tenants.share.sum() == pytest.approx(1)
    assert (np.diff(tenants.share[:100]) < 0).all()
    assert shape(np.arange(0, 7 * 86_400, 30.0)).mean() == pytest.approx(1, abs=1e-6)


def test_waits_are_first_come_first_served() -> None:
    came = np.array([10.0, 0, 0, 0]).reshape(4, 1, 1)
    went = np.array([4.0, 0, 0, 6]).reshape(4, 1, 1)
    week = Week(
        came,
        went,
        np.zeros((4, len(PARTS))),
        np.zeros(4),
        np.zeros((4, 1)),
        np.zeros((1, 1)),
        np.ones(1),
        np.full(4, 0.003),
        np.ones(len(PARTS)),
    )
    assert waits(week)[[0, 3], 0, 0].tolist() == pytest.approx([0.003, 90.003])
    assert quantile(np.array([1.0, 2.0, 3.0]), np.array([1.0, 1.0, 98.0]), (0.01, 0.5)) == [1.0, 3.0]


@pytest.mark.parametrize("name", list(REMEDIES))
def test_a_remedy_moves_something_and_never_what_is_full_first_to_less(name: str) -> None:
    before, world = World(), REMEDIES[name](World())
    assert world != before
    assert min(saturations(world, COSTS).values()) >= min(saturations(before, COSTS).values()) - 1e-6


def test_step_by_step_the_whole_bears_more_and_a_part_is_full_where_it_is_said() -> None:
    limits = [next(iter(saturations(world, COSTS).items())) for _, world in ladder(World(), COSTS)]
    assert limits[-1][1] > 3 * limits[0][1]
    part, rate = limits[0]
    assert utilisation(World(), COSTS, rate)[PARTS.index(part)] == pytest.approx(1, rel=1e-3)


def test_what_is_predicted_of_this_machine_fills_its_cores_at_its_capacity() -> None:
    full = capacity(COSTS, 2.0)
    assert spent_at(COSTS, full).sum() == pytest.approx(2000, rel=1e-3)
    assert predicted(COSTS, 2 * full, 2.0)["jobs/s"] == pytest.approx(full)
    assert predicted(COSTS, full / 5, 2.0)["jobs/s"] == full / 5


def test_between_two_measured_rates_a_cost_falls_by_a_power_of_the_rate() -> None:
    operation = Operation(np.array([10.0, 1000.0]), np.array([vector({"API": 8.0}), vector({"API": 2.0})]))
    assert operation.at(100.0)[0] == pytest.approx(4.0)


def test_what_was_measured_as_dearer_together_or_as_less_work_for_more_is_noise() -> None:
    dear, none = vector({"API": 2.0}), vector({"API": 0.0})
    assert shared([10.0, 100.0], [vector({"API": 1.0}), dear]).costs[:, 0].tolist() == [2.0, 2.0]
    assert shared([10.0, 100.0], [dear, none]).costs[:, 0].tolist() == pytest.approx([2.0, 0.2])


def test_a_wait_grows_with_what_is_busy_and_less_where_many_serve() -> None:
    busy = np.array([0.0, 0.5, 0.9])
    assert lengthened(busy, np.array(1.0)).tolist() == pytest.approx([1.0, 2.0, 10.0])
    assert lengthened(busy, np.array(2.0)).tolist() == pytest.approx([1.0, 4 / 3, 1 / 0.19])


def test_a_job_that_comes_together_with_others_is_less_work() -> None:
    found = [lightened(SMALL, COSTS, rate) for rate in (0.0, 100.0, 1e6)]
    assert found[0] == pytest.approx(1.0)
    assert found == sorted(found, reverse=True)
    assert found[-1] == pytest.approx(_CHEAP.sum() / _DEAR.sum())
