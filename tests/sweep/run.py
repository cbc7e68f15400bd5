"""One run of one kind of job: an account of its own, the steps that processes of ours do for it, and the way to rest."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from uuid import UUID, uuid4

from uuid_utils.compat import uuid7

from common import uptime
from models import db
from models.access import api_keys
from models.accounts import accounts
from models.credits import ledger
from models.db import transaction
from models.events import sending
from models.fleet import processes
from scheduler.main import duties
from tests.sweep.boundary import Killed
from tests.sweep.house import House, forget_rests
from workers.deliver import main
from workers.leases import Keeper
from workers.steps.advance import Advance

log = logging.getLogger(__name__)

ROUNDS = 14  # until all must be quiet
ROUND_SECONDS = 5.0
BATCH = 50
NEVER_STOPS = threading.Event()
TRIES = 6  # of a client, until it is told something
AGAIN = {429, 502, 503, 504}
REAPERS = {"results": "reap_strays", "uploads": "reap_uploads", "inputs": "reap_inputs"}
# Round → seconds that pass at once: within a job's time, past the longest wait for an unknown outcome, past all limits.
SHIFTS = {2: 20, 3: 60, 4: 120, 5: 240, 7: 2 * 3600, 9: 12 * 3600, 11: 72 * 3600}


@dataclass
class Worker:
    """A worker process of ours, as far as it lives in this one."""

    name: str
    keeper: Keeper
    advance: Callable[[UUID], None]


@dataclass
class Run:
    """Everything of one account, for one run."""

    house: House
    kind: Any
    tag: str = field(default_factory=lambda: uuid4().hex[:12])
    job_ids: list[str] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)  # rule and what was seen
    raised: list[str] = field(default_factory=list)
    notes: dict[str, Any] = field(default_factory=dict)  # what a kind wants to check later
    account_id: UUID = field(init=False)
    key: str = field(init=False)
    worker: Worker = field(init=False)

    def __post_init__(self) -> None:
        forget_rests()
        self.house.clear()
        with self.house.boundary.unseen(), transaction() as conn:
            self.account_id, _ = accounts.open_account(conn, issuer="sweep", subject=self.tag, default_plan="starter")
            conn.execute("update accounts set plan_id = 'studio' where id = %s", [self.account_id])
            ledger.grant(conn, self.account_id, kind="gift", amount=self.kind.credits, ref="sweep")
            self.key = api_keys.create(conn, self.account_id, api_keys.NewKey("sweep"))[1]
        self.worker = self._worker()

    # Steps

    def api(self, method: str, path: str, **more: Any) -> Any:
        """What a client asks, until it is told something; the answer's JSON. It repeats what may be repeated."""
        headers = {"authorization": f"Bearer {self.key}", **more.pop("headers", {})}
        answer = None
        for _ in range(TRIES):
            with self.house.boundary.step("api"):
                answer = self.house.client.request(method, path, headers=headers, **more)
                self.house.rest()
                killed = self.house.boundary.dead
            if killed:  # the connection broke, and another process is there now
                forget_rests()
                continue
            if answer.status_code not in AGAIN:
                break
        assert answer is not None
        if answer.status_code >= 500:
            self.problem("answered_wrong", f"{method} {path} was answered {answer.status_code}: {answer.text[:300]}")
            return {}
        return answer.json() if answer.content else {}

    def submit(self, *, seen: bool = False, key: str = "order", **more: Any) -> str:
        """Order a job of this kind; `seen` makes the API's own calls part of the sweep. Returns the job's id."""
        values = {"prompt": self.tag, **self.kind.values, **more.pop("input", {})}
        body = {"model": self.kind.name, "input": values, **more}
        headers = {"idempotency-key": f"{self.tag}-{key}"}
        if seen:
            found = self.api("POST", "/v1/jobs", json=body, headers=headers)
        else:
            found = self._unseen("POST", "/v1/jobs", json=body, headers=headers)
        if "id" not in found:
            if not self.problems:
                self.problem("refused", f"the order was answered {found}")
            return ""
        self.job_ids.append(found["id"])
        return str(found["id"])

    def _unseen(self, method: str, path: str, **more: Any) -> Any:
        headers = {"authorization": f"Bearer {self.key}", **more.pop("headers", {})}
        answer = self.house.client.request(method, path, headers=headers, **more)
        self.house.rest()
        return answer.json() if answer.content else {}

    def work(self, *, seen: bool = True) -> None:
        """A worker does the next step of each job of ours that is due, as it would when rung."""
        self.due()
        for (job_id,) in self.house.rows(
            "select job_id from job_runs where account_id = %s and dispatched and lease_owner is null order by job_id",
            self.account_id,
        ):
            self._step("worker", lambda job_id=job_id: self.worker.advance(job_id), seen=seen)

    def duty(self, *names: str, seen: bool = True) -> None:
        """A scheduler does a turn of these duties."""
        for name in names:
            self._step("scheduler", lambda name=name: duty_of(name)(BATCH), seen=seen)

    def deliver(self, *, seen: bool = True) -> None:
        """A sender claims the lines that are due, and sends."""
        self.house.change(
            "update delivery_queues set wake_at = app_now(), paused_until = null where account_id = %s and wake_at is not null and leased_by is null",
            self.account_id,
        )
        self.house.change("update deliveries set next_at = app_now() - interval '1 second' where account_id = %s and status = 'pending'", self.account_id)  # fmt: skip
        claimed: list[Any] = []

        def claim() -> None:
            with transaction() as conn:
                claimed.extend(sending.claim(conn, "sender", BATCH, suspects=BATCH))

        self._step("sender", claim, seen=seen)
        for line, _ in claimed:
            held = main.Held(line, uptime.seconds())
            self._step("sender", lambda held=held: main.serve(held, NEVER_STOPS), seen=seen)

    def _step(self, process: str, act: Callable[[], object], *, seen: bool = True) -> None:
        """One step of a process. A process that is killed in it is followed by another."""
        if not seen:
            with self.house.boundary.unseen():
                act()
            return
        killed = False
        with self.house.boundary.step(process):
            try:
                act()
            except Killed:
                killed = True
            except Exception as error:  # noqa: BLE001 - as the process's own loop does, which goes on
                self.raised.append(f"{process}: {type(error).__name__}: {error}"[:300])
            self.house.rest()
            killed = killed or self.house.boundary.dead
        if killed:
            forget_rests()
            if process == "worker":
                self.worker = self._worker()

    def _worker(self) -> Worker:
        name = f"w-{uuid7()}"
        keeper = Keeper(name, "interactive", 1)
        return Worker(name, keeper, Advance(keeper, chance=lambda: 0.5))

    # The clock and other people's leases

    def due(self) -> None:
        """What waits in the database is due."""
        self.house.change(
            """update job_runs set wake_at = app_now() - interval '10 seconds'
                where account_id = %s and wake_at is not null""", self.account_id
        )  # fmt: skip

    def pass_time(self, seconds: float) -> None:
        """So many seconds pass for the account's jobs, and for what Redis remembers."""
        wanted = "select job_id from job_runs where account_id = %s"
        self.shift("attempts", f"job_id in ({wanted})", seconds)
        self.shift("job_runs", "account_id = %s", seconds)
        for key in self.house.redis.scan_iter("headrace:provider:*:state"):
            self.house.redis.delete(key)

    def age(self, table: str) -> None:
        """A day and an hour pass for files of the account."""
        self.shift(table, "account_id = %s", 25 * 3600)

    def shift(self, table: str, where: str, seconds: float) -> None:
        self.house.boundary.join()  # what is late is late by less
        self.house.passed += seconds
        names = moments(self.house, table)
        changes = ", ".join(f"{name} = {name} - make_interval(secs => {seconds})" for name in names)
        self.house.change(f"update {table} set {changes} where {where}", self.account_id)

    # Until all is quiet

    def settle(self) -> None:
        """The system goes on, without faults, until nothing is left to do for this account."""
        boundary = self.house.boundary
        boundary.join()
        with boundary.unseen():
            self._own_leases()
            for number in range(ROUNDS):
                if self.kind.prepare:
                    self.kind.prepare(self)
                if self._quiet():
                    break
                if number and self.kind.ripens:
                    self.house.far.ripen()
                    self.house.book.execute("update generations set ready_at = ready_at - 20000")
                if number in SHIFTS:
                    self.pass_time(SHIFTS[number])
                self._round(number)
            boundary.arrive()
            for _ in range(3 if self.kind.after else 0):
                if self.kind.ages:
                    self.age(self.kind.ages)
                self.duty(*self.kind.after, seen=False)
            self.reap()

    def _own_leases(self) -> None:
        """A process that lives on keeps, or gives back, what is leased in its name; then it stops in good order."""
        held = self.house.rows("select 1 from job_runs where starts_with(lease_owner, %s)", self.worker.name)
        if not held:
            return
        self.worker.keeper.start()
        reports: set[Any] = set()
        for _ in range(200):
            reports |= set(self.house.rows("select seen_at from worker_processes where id = %s", self.worker.name))
            if len(reports) > 2:  # it has looked after its leases twice since
                break
            rest()
        self.worker.keeper.stop()
        self.worker = self._worker()

    def _round(self, number: int) -> None:
        self.due()
        self.house.passed += ROUND_SECONDS
        for name in ("rescue", "retry_due", "ring_due"):
            try:
                duty_of(name)(BATCH)
            except Exception as error:  # noqa: BLE001 - whatever is raised is what the sweep looks for
                self.raised.append(f"{name}: {type(error).__name__}: {error}"[:300])
        try:
            for _ in range(2):
                self.work(seen=False)
        except Exception as error:  # noqa: BLE001 - whatever is raised is what the sweep looks for
            self.raised.append(f"worker: {type(error).__name__}: {error}"[:300])
        self.house.change(
            """update delivery_queues set wake_at = app_now() - interval '1 second' where account_id = %s
                  and wake_at is not null""", self.account_id
        )  # fmt: skip
        self.deliver(seen=False)
        if number >= 1:  # requests that outlived their sender come when another has looked already
            self.house.boundary.arrive()
        self.reap()

    def _quiet(self) -> bool:
        left = self.house.rows(
            """select (select count(*) from job_runs where account_id = %s)
                    + (select count(*) from deliveries where account_id = %s and status = 'pending')""",
            self.account_id, self.account_id,
        )  # fmt: skip
        return bool(left[0][0] == 0) and not self.house.boundary.held

    def reap(self) -> None:
        """The reapers look at the objects of this account, and of it alone."""
        for prefix, name in REAPERS.items():
            if prefix not in self.house.boundary.folders:
                continue
            with transaction() as conn:
                processes.take_turn(conn, name, 0)
                # With its slash: SeaweedFS would take the folder's bare name for all that is in it.
                processes.set_cursor(conn, name, f"{prefix}/{self.account_id}/")
            duty_of(name)(1000)

    def problem(self, rule: str, seen: str) -> None:
        self.problems.append((rule, seen))

    def leave(self) -> None:
        """What is left of a run that came to no end disturbs no other."""
        for table in ("job_runs", "delivery_queues"):
            self.house.change(
                f"update {table} set wake_at = '2200-01-01' where account_id = %s and wake_at is not null",
                self.account_id,
            )
        self.house.change(
            "update assets set expires_at = '2200-01-01' where account_id = %s and status = 'stored'", self.account_id
        )
        self.house.change(
            "update subscriptions set status = 'canceled', next_grant_at = null where account_id = %s", self.account_id
        )
        db.pool()


def rest() -> None:
    """A moment for threads of ours."""
    from tests.sweep.boundary import REAL_SLEEP

    REAL_SLEEP(0.005)


@cache
def _duties() -> dict[str, Callable[[int], int]]:
    return {duty.name: duty.function for duty in duties()}


def duty_of(name: str) -> Callable[[int], int]:
    """A duty's function."""
    return _duties()[name]


_moments: dict[str, list[str]] = {}


def moments(house: House, table: str) -> list[str]:
    """The columns of a table that are moments."""
    if table not in _moments:
        found = house.rows(
            """select column_name from information_schema.columns
                where table_name = %s and data_type = 'timestamp with time zone'""", table
        )  # fmt: skip
        _moments[table] = [name for (name,) in found]
    return _moments[table]
