"""The world of a simulated year: our API, worker and schedulers, the three companies, and the time."""

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from models.access import api_keys
from models.db import transaction
from tests.conftest import environment, new_system
from tests.far_side.companies import CompanyServer, Posted
from tests.far_side.stripe import StripeServer
from tests.far_side.truelayer import TrueLayerServer
from tests.far_side.xendit import XenditServer
from tests.models.payments.shop import pack
from tests.support import account, eventually, model, one
from tests.year.clock import Clock
from tests.year.mail import Way
from tests.year.passes import Schedulers

HOUR, DAY = 3600.0, 86_400.0
AT_ONCE = 6  # people who act at the same time
PRICES = {
    "starter": {"monthly": {"USD": "10.00", "GBP": "8.00", "IDR": "150000"}},
    "creator": {"monthly": {"USD": "31.00", "GBP": "25.50", "IDR": "480000"}, "yearly": {"USD": "310.00", "GBP": "255.00"}},
    "studio": {"monthly": {"USD": "60.00", "GBP": "48.99", "IDR": "940000"}},
    "pro": {"monthly": {"USD": "29.00", "GBP": "23.00"}, "yearly": {"USD": "290.00"}},
}  # fmt: skip


class YearOfStripe(StripeServer):
    """Stripe, whose pages expire by its own time, and which tries a declined card again."""

    def last_invoice(self, subscription_id: str) -> str:
        """The newest bill of a subscription."""
        return [
            each["id"] for each in self.things.values()
            if each["object"] == "invoice" and each["parent"]["subscription_details"]["subscription"] == subscription_id
        ][-1]  # fmt: skip

    def pay_invoice(self, invoice_id: str) -> list[Posted]:
        """A bill that was declined is paid after all."""
        with self.lock:
            invoice = self.things[invoice_id]
            subscription = invoice["parent"]["subscription_details"]["subscription"]
            paid = self.bill(subscription, "subscription_cycle")
            del self.things[paid["id"]]
            invoice |= {**paid, "id": invoice_id, "created": invoice["created"]}
            return [self.event("invoice.paid", invoice)]

    def _session(self, given: dict[str, Any]) -> dict[str, Any]:
        return super()._session({**given, "expires_at": str(int(self.now() + 86_000))})


Later = Callable[[], Iterable[Posted]]


@dataclass
class World:
    """All of it."""

    rng: random.Random
    clock: Clock
    http: httpx.Client
    stripe: YearOfStripe
    xendit: XenditServer
    truelayer: TrueLayerServer
    way: Way
    schedulers: Schedulers
    threads: ThreadPoolExecutor
    server_key: str
    admin_key: str
    refused: dict[str, int] = field(default_factory=dict)
    cut: int = 0  # requests whose connection ended before their answer
    outages: dict[str, float] = field(default_factory=dict)  # company → until when it is away
    plans: list[tuple[float, Later]] = field(default_factory=list)  # what will happen at a company, and when

    @property
    def companies(self) -> dict[str, CompanyServer]:
        return {"stripe": self.stripe, "xendit": self.xendit, "truelayer": self.truelayer}

    def ask(self, person: str, method: str, path: str, body: Any = None) -> httpx.Response:
        """A request of somebody, by the product's server that acts for them. What is refused is counted by its code."""
        headers = {"authorization": f"Bearer {self.server_key}", "headrace-account": f"year:{person}"}
        return self._asked(method, path, body, headers)

    def administer(self, method: str, path: str, body: Any = None) -> httpx.Response:
        """A request of an operator."""
        return self._asked(method, path, body, {"authorization": f"Bearer {self.admin_key}"})

    def _asked(self, method: str, path: str, body: Any, headers: dict[str, str]) -> httpx.Response:
        try:
            answer = self.http.request(method, path, json=body, headers=headers)
        except (
            httpx.RemoteProtocolError
        ):  # as anywhere, a connection can end under a request; who only looks asks again
            if method != "GET":
                raise
            self.cut += 1
            answer = self.http.request(method, path, headers=headers)
        assert answer.status_code < 500 or answer.json()["code"] == "company_away", f"{method} {path}: {answer.text}"
        if answer.is_error:
            code = answer.json()["code"]
            self.refused[code] = self.refused.get(code, 0) + 1
        return answer

    def deliver(self) -> None:
        """Hooks that have arrived by now reach our API, some at once. Each is taken, or will be sent again."""
        list(self.threads.map(self._post, self.way.arrived(self.clock.now())))

    def _post(self, posted: Posted) -> None:
        body, headers = posted.body, posted.headers
        if posted.path == "/hooks/stripe":  # a company signs each try anew
            headers = self.stripe.signed(body.decode()).headers
        elif posted.path == "/hooks/truelayer":
            headers = self.truelayer.signed(body.decode()).headers
        answer = self.http.post(posted.path, content=body, headers=headers)
        if answer.status_code == 503:
            self.way.send(self.clock.now(), posted)
            return
        assert answer.is_success, f"{posted.path}: {answer.status_code} {answer.text}"

    def later(self, at: float, happen: Later) -> None:
        """Let something happen at a company then; it sends hooks of it."""
        self.plans.append((at, happen))

    def let_it_happen(self) -> None:
        """What was to happen by now."""
        now = self.clock.now()
        due = [happen for at, happen in self.plans if at <= now]
        self.plans = [each for each in self.plans if each[0] > now]
        for happen in due:
            self.way.send(now, *happen())

    def has_refund(self, company: str, company_id: str, ref: str) -> bool:
        """Whether anything went back of a payment at its company."""
        if company == "xendit":
            return any(each["invoice_id"] == company_id for each in self.xendit.refunds.values())
        if company == "truelayer":
            return any(each["payment_id"] == company_id for each in self.truelayer.refunds.values())
        return any(
            each["object"] == "refund" and each["payment_intent"] == ref for each in list(self.stripe.things.values())
        )

    def is_disputed(self, intent: str) -> bool:
        """Whether a bank has said something of a payment."""
        return any(
            each["object"] == "dispute" and each["payment_intent"] == intent
            for each in list(self.stripe.things.values())
        )

    def change_outages(self) -> None:
        """Now and then a company is away for some hours."""
        for name, server in self.companies.items():
            until = self.outages.get(name)
            if until is not None and until <= self.clock.now():
                del self.outages[name]
            elif until is None and self.rng.random() < 0.01:
                self.outages[name] = self.clock.now() + self.rng.uniform(6, 60) * HOUR
            server.away = name in self.outages

    def let_jobs_end(self) -> None:
        """Time must not leap over a job under way: its lease would lapse while its worker is well."""
        eventually(lambda: one("select count(*) from job_runs") == (0,), seconds=60, what="the jobs' ends")


@contextmanager
def new_world(database: str, folder: Path, rng: random.Random, *, kill_share: float) -> Iterator[World]:
    """A world on this database, with its processes, for the time of a block."""
    with ExitStack() as stack:
        clock = Clock(database)
        stack.callback(clock.close)
        stripe = stack.enter_context(YearOfStripe(clock.now).running())
        xendit = stack.enter_context(XenditServer(clock.now).running())
        truelayer = stack.enter_context(TrueLayerServer(clock.now).running())
        stack.enter_context(environment(_settings(stripe, xendit, truelayer)))
        _fill_catalogue()
        system = stack.enter_context(new_system(folder / "sketch.db", folder / "state"))
        schedulers = Schedulers(rng, kill_share)
        system.start("api", "worker")
        http = stack.enter_context(httpx.Client(base_url=system.url, timeout=60))
        threads = stack.enter_context(ThreadPoolExecutor(AT_ONCE))
        keys = [_key("server", ("read", "write", "generate", "act")), _key("operator", ("read", "write", "admin"))]
        yield World(rng, clock, http, stripe, xendit, truelayer, Way(rng), schedulers, threads, *keys)


def _settings(stripe: StripeServer, xendit: XenditServer, truelayer: TrueLayerServer) -> dict[str, str]:
    return {
        "XENDIT_KEY": "xnd_development_key", "XENDIT_CALLBACK_TOKEN": xendit.token, "XENDIT_URL": xendit.url,
        "STRIPE_KEY": "sk_test_key", "STRIPE_WEBHOOK_SECRET": stripe.secret, "STRIPE_URL": stripe.url,
        "TRUELAYER_CLIENT_ID": "us", "TRUELAYER_CLIENT_SECRET": "the-secret", "TRUELAYER_KEY_ID": "our-key",
        "TRUELAYER_PRIVATE_KEY": truelayer.our_private, "TRUELAYER_MERCHANT_ACCOUNT_ID": "m",
        "TRUELAYER_URL": truelayer.url, "TRUELAYER_AUTH_URL": truelayer.url, "TRUELAYER_JWKS_URL": truelayer.jwks_url,
        "MANUAL_PAYMENTS": "true", "EVENT_DAYS": "1200", "ROLLOVER_MAX_CREDITS": "40", "LEASE_SECONDS": "30",
    }  # fmt: skip


def _fill_catalogue() -> None:
    pack("small", credits=100, USD="10.00", GBP="8.00", IDR="150000")
    pack("short", credits=40, expires_days=30, USD="3.00", GBP="2.49", IDR="46000")
    model("little", price={"unit": "job", "credits": 4})
    model("large", price={"unit": "job", "credits": 30})
    model("failing", price={"unit": "job", "credits": 9}, options={"fail": "permanent"})
    with transaction() as conn:
        for plan, prices in PRICES.items():
            conn.execute("update plans set prices = %s::jsonb where id = %s", [_json(prices), plan])
        conn.execute("update plans set trial_days = 7 where id in ('starter', 'pro')")


def _json(value: Any) -> str:
    return str(value).replace("'", '"')


def _key(name: str, scopes: Sequence[str]) -> str:
    who = account()
    with transaction() as conn:
        conn.execute("update users set role = 'admin' where id = (select user_id from accounts where id = %s)", [who])
        return api_keys.create(conn, who, api_keys.NewKey(name, scopes=tuple(scopes)))[1]
