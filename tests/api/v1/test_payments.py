"""Payments over HTTP: an order answers where to pay, a hook is a hint, and money moves only on the company's word."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any
from uuid import UUID

import pytest
from fastapi.testclient import TestClient

from api.main import make_app
from models.access import api_keys
from models.db import transaction
from scheduler.duties import payments
from tests.conftest import environment
from tests.far_side.companies import Posted
from tests.models.payments.shop import pack
from tests.scheduler.duties.test_payments import PRICES, Far, customer, look
from tests.support import assert_books_are_clean, balance, key_of, one, rows

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def far(monkeypatch: pytest.MonkeyPatch) -> Iterator[Far]:
    monkeypatch.setattr("scheduler.duties.payments._resting", payments.Resting())
    with ExitStack() as stack:
        made = Far(stack)
        stack.enter_context(environment(made.settings()))
        pack(**PRICES)
        yield made


@pytest.fixture
def http(far: Far) -> Iterator[TestClient]:
    with TestClient(make_app()) as client:
        yield client


@pytest.fixture
def who() -> UUID:
    return customer()


def buy(http: TestClient, who: UUID, *, key: str | None = None, **body: Any) -> Any:
    headers = {"authorization": f"Bearer {key_of(who)}"} | ({"idempotency-key": key} if key else {})
    return http.post("/v1/payments", json={"pack": "small", "currency": "USD"} | body, headers=headers)


def send(http: TestClient, posted: Posted) -> Any:
    return http.post(posted.path, content=posted.body, headers=posted.headers)


def admin() -> dict[str, str]:
    who = customer()
    with transaction() as conn:
        conn.execute("update users set role = 'admin' where id = (select user_id from accounts where id = %s)", [who])
        secret = api_keys.create(conn, who, api_keys.NewKey("admin", scopes=("read", "write", "admin")))[1]
    return {"authorization": f"Bearer {secret}"}


@pytest.mark.parametrize(("name", "currency"), [("xendit", "IDR"), ("stripe", "USD"), ("truelayer", "GBP")])
def test_a_pack_is_ordered_paid_and_credited_by_a_hook(
    http: TestClient, far: Far, who: UUID, name: str, currency: str
) -> None:
    answer = buy(http, who, currency=currency, company=name)
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert made["pay_url"].startswith("https://")
    assert (made["status"], made["company"], made["pack"], made["currency"]) == ("pending", name, "small", currency)
    assert answer.headers["location"] == f"/v1/payments/{made['id']}"
    company_id = one("select company_id from payments where id = %s", made["id"])[0]
    hooks = {
        "xendit": lambda: [far.xendit.pay(company_id)], "stripe": lambda: far.stripe.pay(company_id),
        "truelayer": lambda: [far.truelayer.become(company_id, "settled")],
    }[name]()  # fmt: skip
    for posted in [*hooks, *reversed(hooks)]:
        assert send(http, posted).json() == {"received": True}
    assert balance(who) == (0, 0), "a hook is a hint"
    payments.look_at_payments(10)
    found = http.get(f"/v1/payments/{made['id']}", headers={"authorization": f"Bearer {key_of(who)}"}).json()
    assert (found["status"], found["credits_given"], found["pay_url"]) == ("paid", 100, None)
    assert found["paid"] == found["price"]
    assert balance(who) == (100, 0)
    for posted in hooks:
        send(http, posted)
    look()
    assert balance(who) == (100, 0)
    assert_books_are_clean()


def test_the_same_request_is_one_order_also_when_the_company_was_away(http: TestClient, far: Far, who: UUID) -> None:
    far.xendit.away = True
    answer = buy(http, who, key="k", currency="IDR", company="xendit")
    assert (answer.status_code, answer.json()["code"], answer.json()["retryable"]) == (503, "company_away", True)
    far.xendit.away = False
    again = buy(http, who, key="k", currency="IDR", company="xendit")
    assert (again.status_code, again.headers["idempotent-replayed"]) == (201, "true")
    assert again.json()["pay_url"]
    assert buy(http, who, key="k", currency="IDR", company="xendit").json() == again.json()
    assert rows("select count(*) from payments") == [(1,)]
    assert len(far.xendit.invoices) == 1
    other = buy(http, who, key="k", currency="USD", company="stripe")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")


@pytest.mark.parametrize(("body", "status", "param"), [
    ({"pack": "none"}, 404, "pack"), ({"currency": "EUR"}, 422, "currency"), ({"currency": "usd"}, 422, "currency"),
    ({"company": "truelayer"}, 422, "company"), ({"company": "nobody"}, 422, "company"), ({"plan": "pro"}, 422, None),
    ({"pack": None}, 422, None), ({"interval": "monthly"}, 422, None), ({"return_url": "javascript:alert(1)"}, 422, "return_url"),
    ({"more": 1}, 422, "more"), ({"pack": None, "plan": "none"}, 404, "plan"), ({"pack": None, "plan": "free"}, 422, "plan"),
])  # fmt: skip
def test_what_cannot_be_bought_is_told_by_its_field(
    http: TestClient, who: UUID, body: dict[str, Any], status: int, param: str | None
) -> None:
    answer = buy(http, who, **body)
    assert answer.status_code == status, answer.text
    assert param is None or answer.json()["param"] == param
    assert rows("select count(*) from payments") == [(0,)]


def test_only_so_many_orders_wait_to_be_paid(http: TestClient, who: UUID) -> None:
    for _ in range(20):
        assert buy(http, who, company="manual").status_code == 201
    answer = buy(http, who, company="manual")
    assert (answer.status_code, answer.json()["code"]) == (429, "too_many_orders")


def test_payments_are_listed_newest_first_and_are_nobody_elses(http: TestClient, who: UUID) -> None:
    made = [buy(http, who, company="manual").json()["id"] for _ in range(3)]
    mine, other = ({"authorization": f"Bearer {key_of(each)}"} for each in (who, customer()))
    page = http.get("/v1/payments", params={"limit": 2}, headers=mine).json()
    rest = http.get("/v1/payments", params={"limit": 2, "cursor": page["next"]}, headers=mine).json()
    assert [each["id"] for each in page["data"] + rest["data"]] == made[::-1]
    assert http.get("/v1/payments", headers=other).json()["data"] == []
    assert http.get(f"/v1/payments/{made[0]}", headers=other).status_code == 404


def test_a_hook_about_what_is_not_ours_is_kept_and_changes_nothing(http: TestClient, far: Far, who: UUID) -> None:
    stranger = far.xendit._make({"external_id": "not-ours", "amount": 5, "currency": "IDR"})["id"]
    assert send(http, far.xendit.pay(stranger)).status_code == 200
    ours = buy(http, who, currency="GBP", company="truelayer").json()["id"]
    # Anyone may have TrueLayer sign a hook of his own app, with our order in its metadata.
    forged = far.truelayer.hook({"type": "payment_settled", "payment_id": "his", "metadata": {"order": ours}})
    assert send(http, forged).status_code == 200
    look()
    assert balance(who) == (0, 0)
    assert rows("select source, processed_at is null from inbound_events order by id") == [
        ("xendit", True),
        ("truelayer", True),
    ]


def test_hooks_that_are_not_signed_or_not_set_up_are_refused(http: TestClient, far: Far) -> None:
    for name in ("xendit", "stripe", "truelayer"):
        assert http.post(f"/hooks/{name}", content=b"{}").status_code == 401
        assert http.post(f"/hooks/{name}", content=b"x" * 300_000).status_code == 413
    assert http.post("/hooks/nobody", content=b"{}").status_code == 404
    nul = Posted(
        "/hooks/xendit", {"x-callback-token": far.xendit.token}, b'{"id": "a", "status": "\\u0000", "x": "\\u0000"}'
    )
    assert send(http, nul).status_code == 200
    assert send(http, nul._replace(body=b"[" * 100_000)).status_code == 400
    assert send(http, nul._replace(body=b"5")).status_code == 400
    with environment({"XENDIT_KEY": ""}):
        assert http.post("/hooks/xendit", content=b"{}").json()["code"] == "not_configured"


def test_a_hook_that_overtakes_a_look_is_not_lost(http: TestClient, far: Far, who: UUID) -> None:
    made = buy(http, who, currency="IDR", company="xendit").json()
    company_id = one("select company_id from payments where id = %s", made["id"])[0]
    early = far.xendit.invoices[company_id] | {}
    from models.payments import due, standings
    from models.payments.standings import CompanyWord
    from models.payments.states import Money

    with transaction() as conn:
        conn.execute("update payments set check_at = app_now()")
        (looked,) = due.claim(conn, 1)
    assert early["status"] == "PENDING"
    send(http, far.xendit.pay(company_id))
    with transaction() as conn:  # the look's word is from before the payment
        assert not standings.apply(
            conn, payments.SCHEDULER, looked.id, who, CompanyWord(Money.PENDING), token=looked.token
        )
    payments.look_at_payments(10)
    assert balance(who) == (100, 0)


def test_an_admin_says_that_money_is_there_and_gives_it_back(http: TestClient, who: UUID) -> None:
    boss = admin()
    made = buy(http, who, company="manual").json()
    assert made["pay_url"] is None
    url = f"/v1/admin/payments/{made['id']}"
    assert (
        http.post(
            f"{url}/paid", json={"reason": "by bank"}, headers={"authorization": f"Bearer {key_of(who)}"}
        ).status_code
        == 403
    )
    assert http.post(f"{url}/paid", json={}, headers=boss).status_code == 422
    for _ in range(2):
        paid = http.post(f"{url}/paid", json={"reason": "by bank"}, headers=boss).json()
    assert (paid["status"], paid["account_id"], balance(who)) == ("paid", str(who), (100, 0))
    for _ in range(2):
        back = http.post(
            f"{url}/refund", json={"amount": "4.00", "reason": "half"}, headers={**boss, "idempotency-key": "r"}
        )
        assert (back.status_code, back.json()["status"]) == (202, "partly_refunded")
    assert balance(who) == (60, 0)
    too_much = http.post(f"{url}/refund", json={"amount": "6.01", "reason": "x"}, headers=boss)
    assert (too_much.status_code, too_much.json()["param"]) == (422, "amount")
    assert http.post(f"{url}/refund", json={"reason": "rest"}, headers=boss).json()["status"] == "refunded"
    assert balance(who) == (0, 0)
    acts = [row[0] for row in rows("select action from acts where subject = %s order by id", made["id"])]
    assert acts == [
        "payment.mark_paid", "payment.paid", "payment.refund", "payment.partly_refunded", "payment.refund", "payment.refunded",
    ]  # fmt: skip
    listed = http.get("/v1/admin/payments", params={"account_id": str(who)}, headers=boss).json()["data"]
    assert [each["id"] for each in listed] == [made["id"]]
    assert http.get("/v1/admin/payments", params={"problems": True}, headers=boss).json()["data"] == []
    assert_books_are_clean()


def test_a_code_gives_once_per_account_and_only_so_often(http: TestClient, who: UUID) -> None:
    boss = admin()
    made = http.post("/v1/admin/promotions", json={"code": "welcome-10", "credits": 10, "max_uses": 2}, headers=boss)
    assert (made.status_code, made.json()["code"]) == (201, "WELCOME-10")
    assert http.post("/v1/admin/promotions", json={"code": "WELCOME-10", "credits": 1}, headers=boss).status_code == 422
    several = [who, customer(), customer(), customer()]
    keys = {each: {"authorization": f"Bearer {key_of(each)}"} for each in several}

    def redeem(each: UUID) -> Any:
        return http.post("/v1/promotions/redeem", json={"code": " welcome-10 "}, headers=keys[each])

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(redeem, several * 3))
    assert sum(each.status_code == 200 for each in answers) == 2
    assert {each.json().get("reason") for each in answers if each.status_code != 200} <= {"used", "used_up"}
    assert sorted(balance(each)[0] for each in several) == [0, 0, 10, 10]
    assert http.delete("/v1/admin/promotions/welcome-10", headers=boss).json()["ended_at"]
    assert redeem(several[3]).status_code == 400
    assert http.get("/v1/admin/promotions", headers=boss).json()["data"][0]["uses"] == 2
    assert_books_are_clean()


def test_credits_are_bought_by_themselves_once_up_to_the_months_limit(http: TestClient, far: Far, who: UUID) -> None:
    mine = {"authorization": f"Bearer {key_of(who)}"}
    wanted = {"pack": "small", "currency": "USD", "threshold": 250, "monthly_limit": "35.00"}
    assert http.put("/v1/refill", json=wanted, headers=mine).json()["param"] == "pack", "no card was kept"
    first = buy(http, who, company="stripe", keep_card=True).json()
    far.stripe.pay(one("select company_id from payments where id = %s", first["id"])[0])
    look()
    assert balance(who) == (100, 0)
    assert http.put("/v1/refill", json=wanted, headers=mine).status_code == 200
    with environment({"REFILL_PAUSE_SECONDS": "0"}):
        for _ in range(3):
            payments.order_refills(10)
        assert rows("select credits, price from payments where purpose = 'refill'") == [(200, 20)], (
            "one, sized to close the gap"
        )
        with transaction() as conn:  # so that it is the charge that is cut off
            conn.execute("update payments set check_at = null where purpose = 'pack'")
        far.stripe.bad += ["cut"] * 3
        look()
        far.stripe.bad.clear()
        payments._resting.well("stripe")
        look()
        assert balance(who) == (300, 0)
        assert sum(each["object"] == "payment_intent" for each in far.stripe.things.values()) == 2
        http.put("/v1/refill", json={**wanted, "threshold": 1000}, headers=mine)
        payments.order_refills(10)
        assert rows("select credits from payments where purpose = 'refill' order by id") == [(200,), (100,)], (
            "35 dollars a month"
        )
        look()
        payments.order_refills(10)
        assert balance(who) == (400, 0)
        far.stripe.cards["pm_1"] = "authentication_required"
        http.put("/v1/refill", json={**wanted, "threshold": 1000, "monthly_limit": "99.00"}, headers=mine)
        payments.order_refills(10)
        look()
        assert http.get("/v1/refill", headers=mine).json()["paused"] == "authentication_required"
        assert rows("select type from events where account_id = %s and type = 'refill.paused'", who) == [
            ("refill.paused",)
        ]
        payments.order_refills(10)
        assert rows("select count(*) from payments where purpose = 'refill'") == [(3,)]
    assert http.delete("/v1/refill", headers=mine).status_code == 204
    assert http.get("/v1/refill", headers=mine).status_code == 404
    assert_books_are_clean()


def test_figures_say_what_was_sold_and_what_went_back(http: TestClient, who: UUID) -> None:
    boss = admin()
    made = buy(http, who, company="manual").json()
    http.post(f"/v1/admin/payments/{made['id']}/paid", json={"reason": "x"}, headers=boss)
    http.post(f"/v1/admin/payments/{made['id']}/refund", json={"amount": "2.50", "reason": "x"}, headers=boss)
    buy(http, who, company="manual")
    found = http.get("/v1/admin/stats", params={"days": 7}, headers=boss).json()
    (row,) = found["revenue"]
    assert (row["currency"], row["company"], row["paid"], row["refunded"]) == ("USD", "manual", "10.00", "2.50")
    assert (found["payments"]["orders"], found["payments"]["paid"], found["payments"]["success"]) == (2, 1, 1.0)
    assert (found["credits"]["sold"], found["credits"]["revoked"], found["users"]["new"]) == (100, 25, 2)
    assert http.get("/v1/admin/stats", headers={"authorization": f"Bearer {key_of(who)}"}).status_code == 403


def test_a_subscription_that_stripe_renews_is_paid_renewed_canceled_and_resumed(
    http: TestClient, far: Far, who: UUID
) -> None:
    mine = {"authorization": f"Bearer {key_of(who)}"}
    made = buy(http, who, pack=None, plan="starter", company="stripe")
    assert made.status_code == 201, made.text
    session = one("select company_id from payments where id = %s", made.json()["id"])[0]
    for posted in reversed(far.stripe.pay(session)):  # in any order, its first invoice included
        send(http, posted)
    payments.look_at_payments(10)
    found = http.get("/v1/subscription", headers=mine).json()
    assert (found["plan"], found["status"], found["renewer"]) == ("starter", "active", "stripe")
    assert (balance(who)[0], rows("select count(*) from payments")) == (80, [(1,)])
    subscription = far.stripe.things[session]["subscription"]
    (renewed,) = far.stripe.renew(subscription)
    for _ in range(2):
        send(http, renewed)
        look()
    after = http.get("/v1/subscription", headers=mine).json()
    assert after["ends_at"] > found["ends_at"]
    listed = http.get("/v1/payments", headers=mine).json()["data"]
    assert [(each["status"], each["plan"]) for each in listed] == [("paid", "starter")] * 2
    far.stripe.renew(subscription)  # whose hook is lost
    look()
    look()
    third = http.get("/v1/subscription", headers=mine).json()["ends_at"]
    assert third > after["ends_at"]
    after["ends_at"] = third
    prorated = far.stripe.event("invoice.paid", far.stripe.bill(subscription, "subscription_update", amount=700))
    send(http, prorated)
    look()
    assert http.get("/v1/subscription", headers=mine).json()["ends_at"] == after["ends_at"]
    far.stripe.away = True
    refused = http.post("/v1/subscription/cancel", headers=mine)
    assert (refused.status_code, refused.json()["code"]) == (503, "company_away")
    far.stripe.away = False
    assert http.get("/v1/subscription", headers=mine).json()["status"] == "active"
    for _ in range(2):
        assert http.post("/v1/subscription/cancel", headers=mine).json()["status"] == "canceled"
    assert far.stripe.things[subscription]["cancel_at_period_end"]
    assert http.post("/v1/subscription/resume", headers=mine).json()["status"] == "active"
    assert not far.stripe.things[subscription]["cancel_at_period_end"]
    intent = one("select payment_ref from payments where purpose = 'renewal' order by id desc limit 1")[0]
    far.stripe.give_back(intent, far.stripe.things[intent]["amount_received"])
    look()
    assert http.get("/v1/subscription", headers=mine).json()["ends_at"] < third
    assert_books_are_clean()


@pytest.mark.parametrize("left_by", ["another plan", "its user"])
def test_nobody_is_billed_by_stripe_for_a_subscription_that_is_no_more(
    http: TestClient, far: Far, who: UUID, left_by: str
) -> None:
    made = buy(http, who, pack=None, plan="starter", company="stripe").json()
    session = one("select company_id from payments where id = %s", made["id"])[0]
    far.stripe.pay(session)
    look()
    first = far.stripe.things[session]["subscription"]
    assert payments.end_renewals(10) == 0
    if left_by == "its user":
        with transaction() as conn:
            conn.execute(
                "update users set deleted_at = now() where id = (select user_id from accounts where id = %s)", [who]
            )
    else:
        made = buy(http, who, pack=None, plan="creator", company="stripe").json()
        session = one("select company_id from payments where id = %s", made["id"])[0]
        far.stripe.pay(session)
        look()
    far.stripe.bad += [503] * 3
    assert payments.end_renewals(10) == 0
    assert not far.stripe.things[first]["cancel_at_period_end"]
    payments._resting.well("stripe")
    assert [payments.end_renewals(10) for _ in range(2)] == [1, 0]
    assert far.stripe.things[first]["cancel_at_period_end"]
    last = far.stripe.things[session]["subscription"]
    assert far.stripe.things[last]["cancel_at_period_end"] == (last == first), "what runs is renewed"
    assert_books_are_clean()


def test_a_plan_that_stripe_renews_is_not_sold_a_second_time_by_stripe(http: TestClient, far: Far, who: UUID) -> None:
    """Or two subscriptions would be billed, of which only one could be canceled here."""
    made = buy(http, who, pack=None, plan="starter", company="stripe").json()
    far.stripe.pay(one("select company_id from payments where id = %s", made["id"])[0])
    look()
    again = buy(http, who, pack=None, plan="starter", company="stripe")
    assert (again.status_code, again.json()["param"]) == (400, "plan"), again.text
    assert buy(http, who, pack=None, plan="creator", company="stripe").status_code == 201
    http.post("/v1/subscription/cancel", headers={"authorization": f"Bearer {key_of(who)}"})
    assert buy(http, who, pack=None, plan="starter", company="stripe").status_code == 201
