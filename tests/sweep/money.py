"""Money under single faults: one sale of one account, done by the API, the duties and the companies' far sides.

What is done is counted at the border (`boundary`), as jobs are, but in the process of the test: nothing here needs a
worker. After a fault the duties go on without one until all is quiet; then the end must be that of the run without it.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch
from uuid import UUID, uuid4

from starlette.testclient import TestClient

from api.main import make_app
from models.access import api_keys
from models.db import transaction
from scheduler.duties import accounts, payments
from scheduler.turns import Aside
from tests.conftest import environment
from tests.far_side.companies import Asked, Posted
from tests.models.payments.shop import pack
from tests.scheduler.duties.test_payments import PRICES, Far, customer
from tests.support import rows
from tests.sweep import hooks_sql, hooks_stripe, hooks_web
from tests.sweep.boundary import Boundary, Call, Fault, Killed

TRIES = 6  # of a client, or of a company's hook, until it is answered well
AGAIN = {429, 502, 503, 504}
ROUNDS = 8  # of all duties, until all must be quiet
RUNS = 6  # of a play, until one can be judged: on a slow machine it goes another way now and then
DUTIES: dict[str, Callable[[int], int]] = {
    "look": payments.look_at_payments,
    "refills": payments.order_refills,
    "periods": accounts.grant_periods,
}


@dataclass
class Till:
    """What all runs have: the API in this process, the companies, the border."""

    boundary: Boundary
    far: Far
    http: TestClient
    boss: dict[str, str]


@contextmanager
def till() -> Iterator[Till]:
    """A till over the database of the moment."""
    with ExitStack() as stack:
        far, boundary = Far(stack), Boundary()
        stack.enter_context(environment({**far.settings(), "REFILL_PAUSE_SECONDS": "0", "KEY_CACHE_SECONDS": "0"}))
        pack(**PRICES)
        stack.enter_context(hooks_sql.hooked(boundary))
        stack.enter_context(hooks_web.hooked(boundary, lambda _: "web"))
        stack.enter_context(hooks_stripe.hooked(boundary))
        stack.enter_context(patch.object(payments, "AT_ONCE", 1))  # so that a run is the same each time
        http = stack.enter_context(TestClient(make_app(), raise_server_exceptions=False))
        yield Till(boundary, far, http, {"authorization": f"Bearer {key_of(customer(), 'admin')}"})


def key_of(who: UUID, role: str = "user") -> str:
    """A key of an account with all that its role may."""
    scopes = ("generate", "read", "write", "admin") if role == "admin" else ("generate", "read", "write")
    with transaction() as conn:
        conn.execute("update users set role = %s where id = (select user_id from accounts where id = %s)", [role, who])
        return api_keys.create(conn, who, api_keys.NewKey("swept", scopes=scopes))[1]


@dataclass
class Sale:
    """One account, and all that is done for it in one run."""

    till: Till
    name: str
    tag: str = field(default_factory=lambda: uuid4().hex[:12])
    problems: list[str] = field(default_factory=list)
    notes: dict[str, Any] = field(default_factory=dict)
    who: UUID = field(init=False)
    mine: dict[str, str] = field(init=False)
    asked: list[Asked] = field(default_factory=list)

    def __post_init__(self) -> None:
        fresh_process()
        for company in self.till.far.of.values():
            company.asked.clear()
        self.till.far.stripe.by_key.clear()
        self.who = customer()
        self.mine = {"authorization": f"Bearer {key_of(self.who)}"}

    # Steps

    def api(
        self, method: str, path: str, headers: dict[str, str] | None = None, *, seen: bool = True, **more: Any
    ) -> Any:
        """What a client asks, until it is told something. It repeats what may be repeated, by the same key."""
        boundary = self.till.boundary
        headers = {"idempotency-key": f"{self.tag}-{path}", **(headers or self.mine)}
        answer = None
        for _ in range(TRIES):
            if seen:
                with boundary.step("api"):
                    answer = self.till.http.request(method, path, headers=headers, **more)
            else:
                answer = self.till.http.request(method, path, headers=headers, **more)
            if answer.status_code not in AGAIN:
                break
        assert answer is not None
        if answer.status_code >= 500:
            self.problems.append(f"{method} {path} was answered {answer.status_code}: {answer.text[:300]}")
        return answer.json() if answer.content else {}

    def hook(self, *posted: Posted) -> None:
        """A company tells of something, in this order, each until it is answered well."""
        for each in posted:
            found = self.api("POST", each.path, each.headers, content=each.body)
            if found != {"received": True}:
                self.problems.append(f"{each.path} was answered {found}")

    def duty(self, name: str) -> None:
        """A scheduler does a turn of a duty, which a fault may break off; another one then goes on until all is quiet."""
        self.due()
        with self.till.boundary.step("scheduler"):
            try:
                DUTIES[name](100)
            except (Killed, Exception):  # noqa: BLE001 - as its own loop does, or the process that follows
                fresh_process()
        self.settle()

    def verb(self, act: Callable[[Any], object]) -> None:
        """What the scheduler, or somebody by hand, does in one transaction of ours; done again if it was not done."""
        with transaction() as conn:
            act(conn)

    def settle(self) -> None:
        """All duties, without faults, until nothing changes any more."""
        before = self.end()
        for _ in range(ROUNDS):
            fresh_process()
            self.due()
            for each in DUTIES.values():
                each(100)
            now = self.end()
            if now == before:
                return
            before = now
        self.problems.append("it does not come to rest")

    def due(self) -> None:
        """Time passes: what waits for a company is due, in an order that is always the same."""
        with transaction() as conn:
            conn.execute(
                "update payments set check_at = created_at where check_at is not null and account_id = %s", [self.who]
            )
            conn.execute(
                """update refunds set check_at = created_at where check_at is not null
                      and payment_id in (select id from payments where account_id = %s)""",
                [self.who],
            )

    # What came of it

    def payment(self, purpose: str = "pack") -> Any:
        """Its newest payment of a purpose, as (id, company_id, payment_ref); Nones where there is none."""
        found = rows(
            "select id, company_id, payment_ref from payments where account_id = %s and purpose = %s order by id desc limit 1",
            self.who, purpose,
        )  # fmt: skip
        return found[0] if found else (None, None, None)

    def end(self) -> dict[str, Any]:
        """All that must be the same after a fault as without one."""
        found: dict[str, Any] = {name: rows(query, self.who) for name, query in _END.items()}
        found["events"] = sorted(Counter(kind for (kind,) in found["events"]).items())
        found["there"] = sorted(self._there().items())
        return found

    def _there(self) -> Counter[str]:
        """What the companies were asked to make, by its key: each key once, however often it was sent."""
        keys = {
            (company, asked.path.rpartition("/")[2] or "invoices", asked.headers.get("idempotency-key", _order_of(asked)))
            for company, side in self.till.far.of.items() for asked in side.asked if asked.method == "POST"
        }  # fmt: skip
        made = Counter(f"{company} {what}" for company, what, _ in keys if what != "token")
        mine = {str(name) for (name,) in rows("select id from payments where account_id = %s", self.who)}
        made["stripe made"] = sum(
            each["object"] in {"checkout.session", "payment_intent"} and (each.get("metadata") or {}).get("order") in mine
            for each in self.till.far.stripe.things.values()
        )  # fmt: skip
        made["xendit made"] = sum(each["external_id"] in mine for each in self.till.far.xendit.invoices.values())
        return made

    def leave(self) -> None:
        """What is left of it disturbs no other run."""
        with transaction() as conn:
            conn.execute("update payments set check_at = null where account_id = %s", [self.who])
            conn.execute("delete from refills where account_id = %s", [self.who])
            conn.execute("update subscriptions set next_grant_at = null where account_id = %s", [self.who])


def _order_of(asked: Asked) -> str:
    return str(asked.json().get("external_id")) if asked.path.startswith("/v2/invoices") else ""


_END = {
    "account": "select available, reserved, debt, plan_id from accounts where id = %s",
    "payments": """select purpose, company, money, status, paid, refunded, refund_failed, dispute, problem, credits_given, holds,
                          company_id is not null, payment_ref is not null, reason from payments where account_id = %s order by id""",
    "grants": """select kind, amount, remaining, taken_back, taken_owed, revoked_at is not null from grants
                  where account_id = %s order by id""",
    "refunds": """select r.amount, r.sent_at is not null, r.refused from refunds r join payments p on p.id = r.payment_id
                   where p.account_id = %s order by r.id""",
    "subscriptions": """select plan_id, status, periods_granted, renewer, company_id is not null,
                               extract(year from age(ends_at, anchor)) * 12 + extract(month from age(ends_at, anchor))
                          from subscriptions where account_id = %s order by id""",
    "refills": "select paused from refills where account_id = %s",
    "codes": "select count(*) from promotion_uses where account_id = %s",
    "hints": "select source, type, count(*) from inbound_events where subject = %s::text group by 1, 2 order by 1, 2",
    "events": "select type from events where account_id = %s",
    "acts": """select action, count(*) from acts where subject in (select id::text from payments where account_id = %s)
                group by 1 order by 1""",
}  # fmt: skip


def fresh_process() -> None:
    """A process that was just started has not heard of anything that is away."""
    payments._resting, payments._refills = payments.Resting(), Aside()
    accounts._periods = Aside()


Play = Callable[[Sale], None]


@dataclass(frozen=True, slots=True)
class Found:
    """What went wrong in one run."""

    play: str
    fault: Fault | None
    call: str
    seen: str


def played(
    made: Till, name: str, play: Play, faults: Collection[Fault] = (), expected: Sequence[Call] | None = None
) -> Sale:
    """One run up to its end."""
    for _ in range(RUNS):
        sale = Sale(made, name)
        made.boundary.begin(faults, expected)
        with patch.object(payments, "_resting", payments.Resting()):
            play(sale)
            made.boundary.join()
            sale.settle()
        if made.boundary.missed() is None:
            break
        sale.leave()
    return sale


def recorded(made: Till, name: str, play: Play) -> tuple[list[Call], dict[str, Any]]:
    """The calls of a run without faults, once the run before made the same ones, and its end. What a process does only
    once in its life is done before. Raises AssertionError where no two runs are the same.
    """
    played(made, name, play).leave()
    before: list[Call] | None = None
    for _ in range(RUNS):
        sale = played(made, name, play)
        calls, end = list(made.boundary.calls), sale.end()
        assert not sale.problems, sale.problems
        sale.leave()
        if calls == before:
            return calls, end
        before = calls
    raise AssertionError(f"{name}: no two runs are the same")


def swept(made: Till, name: str, play: Play, wanted: Callable[[Call, str], bool]) -> tuple[int, list[Found]]:
    """One run for each single fault that is wanted. Returns how many, and what was found."""
    calls, end = recorded(made, name, play)
    faults = [Fault(number, way) for number, call in enumerate(calls) for way in call.ways if wanted(call, way)]
    found: list[Found] = []
    for fault in faults:
        sale = played(made, name, play, [fault], calls)
        text = f"{calls[fault.call].process} {calls[fault.call].sort} {calls[fault.call].name}"
        wrong = list(sale.problems)
        missed = made.boundary.missed()
        if missed is not None:
            wrong.append(missed)
        wrong += [f"{part}: {end[part]} became {now}" for part, now in sale.end().items() if now != end[part]]
        found += [Found(name, fault, text, each) for each in wrong]
        sale.leave()
    return len(faults), found
