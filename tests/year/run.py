"""One simulated year, step by step."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tests.support import one
from tests.year import happenings, people, picture, truth
from tests.year.picture import Moment
from tests.year.world import DAY, HOUR, World, new_world

STEP_HOURS = 12.0
DRAIN_DAYS, DRAIN_STEP_DAYS = (
    150,
    3,
)  # without people: until the last dispute is decided, and the last look would find what no hook told
WEEKS_AWAY = 2  # in which no scheduler runs at all
KILL_SHARE = 0.25


def steps_of(days: int) -> int:
    """How many steps a run of so many days has."""
    return int(days * 24 / STEP_HOURS) + DRAIN_DAYS // DRAIN_STEP_DAYS


class Outcome(NamedTuple):
    """What a year came to."""

    findings: list[str]
    moments: list[Moment]
    figures: dict[str, int]


def live(database: str, folder: Path, *, users: int, days: int, seed: int, advance: Callable[[str], None]) -> Outcome:
    """Live through a year and look at what is left. `advance` is called once per step, with what to show."""
    rng = random.Random(seed)
    with new_world(database, folder, rng, kill_share=KILL_SHARE) as world:
        for code, gives in people.CODES.items():
            assert world.administer("POST", "/v1/admin/promotions", {"code": code, **gives}).is_success
        everybody = people.new_people(rng, users)
        weeks = sorted(rng.uniform(0.1, 0.9) * days for _ in range(WEEKS_AWAY))
        moments: list[Moment] = []
        for step in range(int(days * 24 / STEP_HOURS)):
            day = step * STEP_HOURS / 24
            nobody = any(begin <= day < begin + 7 for begin in weeks)
            _step(world, everybody, schedulers=not nobody)
            if step % 4 == 0:
                moments.append(picture.look(day))
            advance(_said(world, day))
        _drain(world, days, advance, moments)
        moments.append(picture.look(days + DRAIN_DAYS))
        return Outcome(truth.findings(world), moments, _figures(world))


def _step(world: World, everybody: list[people.Person], *, schedulers: bool) -> None:
    days = STEP_HOURS / 24
    world.clock.advance(STEP_HOURS * HOUR)
    world.change_outages()
    happenings.let_people_pay(world, everybody)
    world.let_it_happen()
    happenings.bill_subscriptions(world)
    happenings.let_money_go_back(world, days)
    acts = [list(people.decide(world, person, days)) for person in everybody]
    list(world.threads.map(_do_all, acts))
    world.clock.carry_ends_along()
    world.deliver()
    if schedulers:
        world.schedulers.pass_once()
    world.let_jobs_end()


def _do_all(acts: list[people.Act]) -> None:
    for act in acts:
        act()


def _drain(world: World, days: int, advance: Callable[[str], None], moments: list[Moment]) -> None:
    """Let all that was begun end: nobody orders any more, every company answers, nobody is killed."""
    world.outages.clear()
    for server in world.companies.values():
        server.away = False
    for day in range(0, DRAIN_DAYS, DRAIN_STEP_DAYS):
        world.clock.advance(DRAIN_STEP_DAYS * DAY)
        world.let_it_happen()
        world.deliver()
        world.schedulers.pass_once(kills=False)
        moments.append(picture.look(days + day))
        advance(_said(world, days + day))
    for _ in range(4):  # what a look began, within the hour
        world.clock.advance(HOUR)
        world.schedulers.pass_once(kills=False)


def _said(world: World, day: float) -> str:
    return f"day {day:.0f}, {world.way.sent} hooks, {world.schedulers.killed} killed"


def _figures(world: World) -> dict[str, int]:
    counts = {
        "users": "select count(*) from users", "payments": "select count(*) from payments",
        "paid": "select count(*) from payments where money = 'paid'", "refunds": "select count(*) from refunds",
        "disputed": "select count(*) from payments where dispute is not null",
        "renewals": "select count(*) from payments where purpose = 'renewal'",
        "refills": "select count(*) from payments where purpose = 'refill'",
        "subscriptions": "select count(*) from subscriptions",
        "periods granted": "select count(*) from grants where ref like 'plan:%%'",
        "codes redeemed": "select count(*) from promotion_uses", "jobs": "select count(*) from jobs",
        "ledger entries": "select count(*) from ledger_entries",
    }  # fmt: skip
    return {
        **{name: one(statement)[0] for name, statement in counts.items()}, "hooks": world.way.sent, "hooks lost": world.way.lost,
        "hooks doubled": world.way.doubled, "hooks late": world.way.late, "passes of schedulers": world.schedulers.started,
        "killed": world.schedulers.killed, "cut": world.cut, **{f"refused {code}": count for code, count in sorted(world.refused.items())},
    }  # fmt: skip
