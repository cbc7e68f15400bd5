"""The week itself, in steps of half a minute. Jobs are amounts that flow: in a step those of an account that may begin do, in the order
of DESIGN's fair line, as far as the providers' limits and the budgets of all parts go.
"""

from typing import NamedTuple

import numpy as np

from benchmarks.week.world import (
    PARTS,
    REDIS,
    THREADS,
    WORKER,
    Costs,
    Numbers,
    Tenants,
    World,
    entering,
    idling,
    lengthened,
    lightened,
    working,
)

STEP_SECONDS = 30
COST_STEPS = 20
TINY = 1e-12
WEEK_SECONDS = 7 * 86_400
DAY_SWING, WEEKEND = 0.6, 0.7  # how far a day swings about its mean, and a day at the weekend beside others
SIZES = ((1, 15), (16, 255), (256, 4095), (4096, 65_535), (65_536, 1_000_000))


class Week(NamedTuple):
    """What was seen. The first axis of all but the last three is the step."""

    arrived: Numbers  # by row and provider
    begun: Numbers  # by row and provider
    used: Numbers  # share of each part, 0 to 1
    round_seconds: Numbers  # where a part is full, how long one round of all accounts' free slots takes
    running: Numbers  # by provider
    waiting: Numbers  # what has not begun when the week is over, by row and provider
    rank: Numbers
    pickup_seconds: Numbers  # of what comes in a step, where nobody else works
    servers: Numbers  # of each part


def shape(seconds: Numbers) -> Numbers:
    """Load by the time since Monday, 0:00; its mean is 1. Most is ordered at 20:00, least at 8:00."""
    day = np.where(seconds // 86_400 % 7 >= 5, WEEKEND, 1.0) / ((5 + 2 * WEEKEND) / 7)
    return np.asarray(day * (1 + DAY_SWING * np.sin((seconds / 86_400 - 14 / 24) * 2 * np.pi)))


def allowed(wish: Numbers, caps: Numbers, budget: Numbers, cost: Numbers) -> Numbers:
    """How much of a wish (row x provider) begins: every row's alike, cut by its provider's cap and then by what the parts have left."""
    asked = wish.sum(axis=0)
    cut = np.minimum(1.0, caps / np.maximum(asked, TINY))
    needed = (asked * cut) @ cost
    least = min(1.0, float((budget / np.maximum(needed, TINY)).min()))
    return np.asarray(wish * (cut * max(0.0, least)))


class Line(NamedTuple):
    """What of jobs stands where, between steps: row x provider."""

    door: Numbers  # ordered, but the API or the database had no time for it yet
    waiting: Numbers
    running: Numbers


class Limits(NamedTuple):
    """What a step keeps to: slots by row; of each provider what it takes in a step and at once, the share of running jobs that a
    step leaves running, and of those that begin in it; milliseconds that each part has.
    """

    slots: Numbers
    starts: Numbers
    at_once: Numbers
    stays: Numbers
    kept: Numbers
    budget: Numbers


def limits_of(world: World, costs: Costs, slots: Numbers) -> Limits:
    """A running job ends by chance, on average after its provider's seconds, also within the step in which it began."""
    mean = np.array([far.seconds for far in world.fars])
    stays = np.exp(-STEP_SECONDS / mean)
    starts = np.array([far.per_second * STEP_SECONDS for far in world.fars])
    at_once = np.array([far.at_once for far in world.fars], dtype=float)
    budget = (world.budget - idling(world, costs)) * STEP_SECONDS
    free = slots if world.fair else np.full_like(slots, np.inf)
    return Limits(free, starts, at_once, stays, mean / STEP_SECONDS * (1 - stays), budget)


class Done(NamedTuple):
    """What a step did."""

    line: Line
    begun: Numbers  # row x provider
    spent: Numbers  # milliseconds of each part
    round_share: float  # how much of what began was the first round


def step(line: Line, came: Numbers, is_up: Numbers, limits: Limits, cost: tuple[Numbers, Numbers]) -> Done:
    """One step: what comes enters; what may begin begins, first one round of each account's free slots, then as they turn over."""
    enter_cost, work_cost = cost
    door = line.door + came
    entered = door * min(1.0, float((limits.budget / np.maximum(door.sum() * enter_cost, TINY)).min()))
    spent = entered.sum() * enter_cost
    waiting, old = line.waiting + entered, line.running * limits.stays
    caps = is_up * np.minimum(limits.starts, (limits.at_once - old.sum(axis=0)) / limits.kept)
    ready = waiting * is_up

    room = np.maximum(0.0, limits.slots - line.running.sum(axis=1))
    present = ready * np.minimum(1.0, room / np.maximum(ready.sum(axis=1), TINY))[:, None]
    first = allowed(present, caps, limits.budget - spent, work_cost)
    sums = first.sum(axis=0)
    spent = spent + sums @ work_cost
    rest = ready - first
    room = np.maximum(0.0, limits.slots - (old + first * limits.kept).sum(axis=1))
    again = rest * np.minimum(1.0, room / np.maximum(rest @ limits.kept, TINY))[:, None]
    second = allowed(again, caps - sums, limits.budget - spent, work_cost)
    begun = first + second
    spent = spent + second.sum(axis=0) @ work_cost
    after = Line(door - entered, waiting - begun, old + begun * limits.kept)
    return Done(after, begun, spent, float(sums.sum() / max(begun.sum(), TINY)))


def play(world: World, costs: Costs, rate: float, *, seed: int = 7, seconds: int = WEEK_SECONDS, accounts: int = 1_000_000) -> Week:  # fmt: skip
    """Play a week of so many jobs a second on average; the same seed gives the same week."""
    tenants = Tenants.zipf(world, rate, accounts)
    times = np.arange(0, seconds, STEP_SECONDS, dtype=float)
    chance = np.random.default_rng(seed)
    expected = rate * tenants.share * STEP_SECONDS * shape(times)[:, None]
    came = chance.poisson(expected / tenants.burst) * tenants.burst
    arrived = came[:, :, None] * np.array([far.share for far in world.fars])
    outages = np.array([far.outage_hours for far in world.fars]) * 3600
    up = ((times[:, None] < outages[:, 0]) | (times[:, None] >= outages[:, 1])).astype(float)
    limits, nothing = limits_of(world, costs, tenants.slots), np.zeros(arrived.shape[1:])
    line = Line(nothing, nothing, nothing)
    begun, spent, rounds = np.zeros_like(arrived), np.zeros((len(times), len(PARTS))), np.zeros(len(times))
    running, pickup = np.zeros((len(times), len(world.fars))), np.zeros(len(times))
    for at in range(len(times)):
        if at % COST_STEPS == 0:  # what a job costs hangs on how many come together, and moves slowly
            recent = begun[at - COST_STEPS : at].sum() / COST_STEPS / STEP_SECONDS if at else rate
            cost = entering(world, costs, recent), working(world, costs, recent)
            picked = costs.pickup_ms / 1000 * lightened(world, costs, recent)
        pickup[at] = picked
        line, begun[at], spent[at], rounds[at] = step(line, arrived[at], up[at], limits, cost)
        running[at] = line.running.sum(axis=0)
    whole = world.budget * STEP_SECONDS
    used = (spent + (whole - limits.budget)) / whole
    rounds *= STEP_SECONDS * (used.max(axis=1) > 0.999)
    return Week(
        arrived, begun, used, rounds, running, line.door + line.waiting, tenants.rank, pickup, world.budget / 1000
    )


def waits(week: Week) -> Numbers:
    """Seconds that what began in each step had waited, by row and provider: first come, first served within both. Within a step: the
    pickup, longer by what one of the workers' processors, their threads and Redis makes of it; the round, where one is full.
    """
    last, found = len(week.begun) - 1, np.zeros_like(week.begun)
    steps = np.arange(last + 1)
    for place in np.ndindex(week.begun.shape[1:]):
        came, went = (amounts[(slice(None), *place)].cumsum() for amounts in (week.arrived, week.begun))
        middle = went - week.begun[(slice(None), *place)] / 2  # the job in the middle of those that began
        since = np.minimum(np.searchsorted(came, middle - 1e-6), last)
        found[(slice(None), *place)] = np.maximum(0, steps - since) * STEP_SECONDS
    chosen = [WORKER, THREADS, REDIS]
    longer = lengthened(week.used[:, chosen], week.servers[chosen]).max(axis=1)
    return np.asarray(found + (week.pickup_seconds * longer + week.round_seconds)[:, None, None])


def quantile(values: Numbers, weights: Numbers, shares: tuple[float, ...]) -> list[float]:
    """Quantiles of values that count as often as their weights say."""
    order = np.argsort(values, axis=None)
    total = weights.ravel()[order].cumsum()
    places = np.searchsorted(total, np.array(shares) * total[-1])
    return [float(values.ravel()[order][min(place, len(order) - 1)]) for place in places]


def waits_by_size(week: Week) -> dict[tuple[int, int], list[float]]:
    """Median and 99th percentile of the wait of jobs, by the rank of who ordered them."""
    found = waits(week)
    rows = {size: (week.rank >= size[0]) & (week.rank <= size[1]) for size in SIZES}
    return {
        size: quantile(found[:, chosen], week.begun[:, chosen], (0.5, 0.99)) for size, chosen in rows.items() if chosen.any()
    }  # fmt: skip
