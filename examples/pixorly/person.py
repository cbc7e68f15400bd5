"""Somebody who uses Pixorly: how Clerk tells of them, and what they see of themselves (B1, B2)."""

import time
import uuid
from typing import Any

from headrace_client import Headrace
from headrace_client.models import Me

from examples.clerk import Clerk
from examples.running import Place, answered, eventually, refused, same

# Credits, bytes, US dollars a month.
PLANS = {
    "free": (10, 1_000_000_000, None),
    "pro": (500, 100_000_000_000, "29.00"),
    "enterprise": (2000, 500_000_000_000, None),  # agreed by hand
}


class Person:
    """One user, with a browser that has signed in at Clerk."""

    def __init__(self, place: Place, clerk: Clerk) -> None:
        self._place, self._clerk = place, clerk
        self.id = f"user_{uuid.uuid4().hex}"
        self.email = f"{self.id}@example.com"
        self.token = clerk.token(self.id)
        self.browser = place.client(self.token)

    def _told(self, first_name: str) -> dict[str, Any]:
        """A user as Clerk tells of them."""
        address = {"id": "idn_1", "email_address": self.email}
        return {
            "id": self.id, "first_name": first_name, "last_name": "Lovelace", "banned": False,
            "email_addresses": [address], "primary_email_address_id": "idn_1", "updated_at": int(time.time() * 1000),
        }  # fmt: skip

    def _tell(self, kind: str, data: dict[str, Any], *, forged: bool = False) -> int:
        return self._clerk.tell(self._place.http, kind, data, forged=forged)

    def come(self) -> None:
        event = "user.created", self._told("Ada")
        same(self._tell(*event, forged=True), 401, "how a forged event is answered")
        for _ in range(2):  # Clerk may send it again
            same(self._tell(*event), 200, "how the event is answered")

    def sign_in(self) -> None:
        # The system asks for an issuer's new keys at most every ten seconds.
        eventually(lambda: answered(self.browser.me.get), 200, "how a session token is answered")
        stale = self._clerk.token(self.id, exp=int(time.time()) - 3600)
        strange = self._clerk.token(self.id, iss="https://elsewhere.example")
        for token in (stale, strange):
            refused(401, "not_authenticated", self._place.client(token).me.get)

    def change_name(self) -> None:
        time.sleep(0.01)  # what is older than what is known changes nothing
        same(self._tell("user.updated", self._told("Augusta")), 200, "how the event is answered")

    def look_at_profile(self) -> None:
        me = self.me()
        same((me.subject, me.email), (self.id, self.email), "who it is")
        found = (me.first_name, me.last_name, me.role)
        same(found, ("Augusta", "Lovelace", "user"), "first name, last name and role")
        plan = self.browser.plans.get(me.plan)
        same((me.balance.available, me.balance.reserved), (plan.credits, 0), "the credits of a new user")
        same((me.storage.used_bytes, me.storage.quota_bytes), (0, plan.storage_quota_bytes), "storage used and quota")
        same(me.customers, {}, "who the user is to companies that took no money yet")

    def me(self) -> Me:
        """The user's own page."""
        return self.browser.me.get()

    def prefer(self) -> None:
        kept = self.browser.me.change_preferences(theme="dark", language="de", notifications=False)
        same(self.me().preferences, kept.preferences, "the preferences, later")
        same((kept.preferences.theme, kept.preferences.language), ("dark", "de"), "theme and language")
        refused(422, "invalid_request", self.browser.me.change_preferences, theme="pink")

    def list_plans(self) -> None:
        for name, wanted in PLANS.items():
            plan = self.browser.plans.get(name)
            price = plan.prices.get("monthly", {}).get("USD")
            found = (plan.credits, plan.storage_quota_bytes, price)
            same(found, wanted, f"{name}: credits, bytes and dollars a month")

    def buy_pro(self, admin: Headrace) -> None:
        """Paid by hand: with a card it is `company="stripe"`, and Stripe says that it was paid."""
        before = self.me().balance.available
        order = self.browser.payments.create(plan="pro", interval="monthly", currency="USD", company="manual")
        same((order.status, order.price, order.paid), ("pending", "29.00", None), "the order: status, price, paid")
        same(self.me().plan, "free", "the plan until it is paid")
        admin.admin.mark_payment_paid(order.id, reason="seen on the bank statement")
        eventually(lambda: self.me().plan, "pro", "the plan that was paid")
        me = self.me()
        same(me.balance.available - before, PLANS["pro"][0], "the credits that came with it")
        same(me.storage.quota_bytes, PLANS["pro"][1], "the quota then")

    def go(self) -> None:
        same(self._tell("user.deleted", {"id": self.id, "deleted": True}), 200, "the answer")
        eventually(lambda: answered(self.browser.me.get), 401, "how somebody who was deleted is answered")
