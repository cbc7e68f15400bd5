"""The people of a simulated year: what each does when, drawn from the year's seed, and done over HTTP."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tests.support import one
from tests.year.world import DAY, World

Act = Callable[[], None]
CURRENCY = {"stripe": "USD", "xendit": "IDR", "truelayer": "GBP", "manual": "USD"}
# An order is asked about for seven days after its end (models.payments.states): money that comes later comes by its hook alone.
LATEST_DAYS = 7.5
PAGES_END = ("stripe", "truelayer")  # whose pages nobody can pay at later
PLANS = ("starter", "creator", "studio", "pro")
YEARLY = {("creator", "USD"), ("creator", "GBP"), ("pro", "USD"), ("reimaji-pro", "IDR")}
CODES = {"WELCOME": {"credits": 25}, "SUMMER-FEW": {"credits": 60, "max_uses": 30}, "TRY-CREATOR": {"plan": "creator", "interval": "monthly"}}  # fmt: skip


@dataclass
class Ordered:
    """An order as its payer knows it. `pays_at`: when they will; None: never, or they have."""

    payment: str
    company: str
    pays_at: float | None
    keeps_card: bool = False
    is_plan: bool = False
    paid: bool = False
    amount_share: float = 1.0
    delayed: bool = False  # the money comes days after the page was finished


@dataclass
class Person:
    """Somebody, and what they like."""

    name: str
    company: str
    plan: str
    eager: float  # 0.3 to 2: how much they do
    joined: bool = False
    user: str = ""
    account: str = ""
    orders: list[Ordered] = field(default_factory=list)
    codes: set[str] = field(default_factory=set)
    tried: bool = False
    refills: bool = False

    @property
    def currency(self) -> str:
        return CURRENCY[self.company]


def new_people(rng: random.Random, count: int) -> list[Person]:
    """So many, of all companies and plans."""
    people = []
    for number in range(count):
        company = rng.choices(tuple(CURRENCY), (40, 30, 20, 10))[0]
        plan = "reimaji-pro" if company == "xendit" and rng.random() < 0.4 else rng.choice(PLANS)
        if company == "xendit" and plan == "pro":
            plan = "starter"  # pro has no price in rupiah
        people.append(Person(f"person-{number}", company, plan, rng.uniform(0.3, 2.0)))
    return people


def join(world: World, person: Person) -> None:
    """They sign up."""
    body = {"issuer": "year", "subject": person.name, "email": f"{person.name}@example.com"}
    made = world.administer("POST", "/v1/admin/users", body).json()
    person.joined, person.user = True, made["id"]
    person.account = str(one("select id from accounts where user_id = %s", made["id"])[0])


def decide(world: World, person: Person, days: float) -> Iterator[Act]:
    """What somebody does in so many days, in the order in which they do it."""

    def happens(per_day: float) -> bool:
        return world.rng.random() < per_day * days * person.eager

    if not person.joined:
        if happens(0.05):
            yield lambda: join(world, person)
        return
    if happens(0.05):
        yield _wish(world, person, plan=person.plan)
    if happens(0.014):
        yield _wish(world, person, pack=world.rng.choice(("small", "small", "short")))
    if happens(0.004):
        yield _change(world, person)
    if happens(0.004):
        yield lambda: _ignore(world.ask(person.name, "POST", "/v1/subscription/cancel"))
    if happens(0.006):
        yield lambda: _ignore(world.ask(person.name, "POST", "/v1/subscription/resume"))
    if not person.tried and happens(0.003):
        person.tried = True
        plan = world.rng.choice(("starter", "pro"))
        yield lambda: _ignore(world.ask(person.name, "POST", "/v1/subscription/trial", {"plan": plan}))
    if happens(0.004):
        code = world.rng.choice(tuple(CODES))
        yield lambda: _ignore(world.ask(person.name, "POST", "/v1/promotions/redeem", {"code": code}))
    if person.company == "stripe" and happens(0.008):
        body = {"pack": "small", "currency": "USD", "threshold": 50, "monthly_limit": "40.00"}
        yield lambda: _ignore(world.ask(person.name, "PUT", "/v1/refill", body))
    if happens(0.03):
        models = world.rng.choices(("little", "large", "failing"), (5, 4, 1), k=world.rng.randint(1, 4))
        yield lambda: _generate(world, person, models)


def _ignore(_answer: Any) -> None:
    """What is refused is counted by the world; no person minds."""


def _generate(world: World, person: Person, models: list[str]) -> None:
    for name in models:
        world.ask(person.name, "POST", "/v1/jobs", {"model": name, "input": {}})


def _change(world: World, person: Person) -> Act:
    plan = world.rng.choice(PLANS)
    when = world.rng.choice((None, "now", "period_end"))
    body = {"plan": plan} | ({"when": when} if when else {})
    order = _wish(world, person, plan=plan)

    def change() -> None:
        if world.ask(person.name, "POST", "/v1/subscription/change", body).status_code == 402:
            order()  # what costs more begins when it is paid

    return change


def _wish(world: World, person: Person, *, plan: str | None = None, pack: str | None = None) -> Act:
    """Order something, and pay for it, soon, late, with too little or never."""
    rng, now = world.rng, world.clock.now()
    fate = rng.random()
    soon, late = now + rng.uniform(0, 0.9) * DAY, now + rng.uniform(2.5, LATEST_DAYS) * DAY
    pays_at = soon if fate < 0.82 else late if fate < 0.9 and person.company not in PAGES_END else None
    share = 0.5 if pack and rng.random() < 0.03 and person.company in ("xendit", "stripe") else 1.0
    delayed = pack is not None and rng.random() < 0.08
    keep = pack is not None and person.company == "stripe" and rng.random() < 0.7
    interval = "yearly" if (plan, person.currency) in YEARLY and rng.random() < 0.3 else "monthly"
    body: dict[str, Any] = {"currency": person.currency, "company": person.company}
    body |= {"plan": plan, "interval": interval} if plan else {"pack": pack}
    if keep:
        body["keep_card"] = True

    def order() -> None:
        if plan and _is_paid_for(world, person):
            return
        answer = world.ask(person.name, "POST", "/v1/payments", body)
        made = answer.json()
        payment = made["id"] if answer.status_code == 201 else made.get("payment")
        if payment is not None:
            person.orders.append(Ordered(payment, person.company, pays_at, keep, bool(plan), amount_share=share, delayed=delayed))  # fmt: skip

    return order


def _is_paid_for(world: World, person: Person) -> bool:
    """Nobody orders a plan that runs for more than three days yet, or renews by itself; or orders it twice."""
    found = world.ask(person.name, "GET", "/v1/subscription")
    if found.is_success:
        view = found.json()
        runs = view["status"] in ("active", "canceled") and _days_until(world, view["ends_at"]) > 3
        if view["status"] != "expired" and (runs or view["renewer"] == "stripe"):
            return True
    return any(each.is_plan and each.pays_at is not None for each in person.orders)


def _days_until(world: World, text: str) -> float:
    return (datetime.fromisoformat(text).timestamp() - world.clock.now()) / DAY
