"""Somebody who uses Pixorly: how Clerk tells of them, and what they see of themselves (B1, B2)."""

import time
import uuid
from typing import Any

import httpx

from examples.callers import Caller
from examples.clerk import Clerk
from examples.running import eventually, same

# Credits, bytes, US dollars a month.
PLANS = {
    "free": (10, 1_000_000_000, None),
    "pro": (500, 100_000_000_000, "29.00"),
    "enterprise": (2000, 500_000_000_000, None),  # agreed by hand
}


class Person:
    """One user, with a browser that has signed in at Clerk."""

    def __init__(self, client: httpx.Client, clerk: Clerk) -> None:
        self._client, self._clerk = client, clerk
        self.id = f"user_{uuid.uuid4().hex}"
        self.email = f"{self.id}@example.com"
        self.browser = Caller(client, clerk.token(self.id))

    def _told(self, first_name: str) -> dict[str, Any]:
        """A user as Clerk tells of them."""
        address = {"id": "idn_1", "email_address": self.email}
        return {
            "id": self.id, "first_name": first_name, "last_name": "Lovelace", "banned": False,
            "email_addresses": [address], "primary_email_address_id": "idn_1", "updated_at": int(time.time() * 1000),
        }  # fmt: skip

    def come(self) -> None:
        event = "user.created", self._told("Ada")
        same(self._clerk.tell(self._client, *event, forged=True), 401, "how a forged event is answered")
        for _ in range(2):  # Clerk may send it again
            same(self._clerk.tell(self._client, *event), 200, "how the event is answered")

    def sign_in(self) -> None:
        # The system asks for an issuer's new keys at most every ten seconds.
        eventually(lambda: self.browser.status("GET", "/v1/me"), 200, "how a session token is answered")
        stale = Caller(self._client, self._clerk.token(self.id, exp=int(time.time()) - 3600))
        stranger = Caller(self._client, self._clerk.token(self.id, iss="https://elsewhere.example"))
        for what, caller in (("expired", stale), ("of another issuer", stranger)):
            same(caller.status("GET", "/v1/me"), 401, f"how a token that is {what} is answered")

    def change_name(self) -> None:
        time.sleep(0.01)  # what is older than what is known changes nothing
        same(self._clerk.tell(self._client, "user.updated", self._told("Augusta")), 200, "how the event is answered")

    def look_at_profile(self) -> None:
        me = self.me()
        wanted = (self.id, self.email, "Augusta", "Lovelace", "user")
        same(tuple(me[name] for name in ("subject", "email", "first_name", "last_name", "role")), wanted, "the profile")
        plan = self.browser.ask("GET", f"/v1/plans/{me['plan']}")
        same(me["balance"], {"available": plan["credits"], "reserved": 0, "debt": 0}, "the credits of a new user")
        same(me["storage"], {"used_bytes": 0, "quota_bytes": plan["storage_quota_bytes"]}, "storage used and quota")
        same(me["customers"], {}, "who the user is to companies that took no money yet")

    def me(self) -> dict[str, Any]:
        """The user's own page."""
        found: dict[str, Any] = self.browser.ask("GET", "/v1/me")
        return found

    def prefer(self) -> None:
        chosen = {"theme": "dark", "language": "de", "notifications": False}
        self.browser.ask("PATCH", "/v1/me", json=chosen)
        preferences = self.me()["preferences"]
        same({name: preferences[name] for name in chosen}, chosen, "the preferences that were chosen")
        self.browser.refused("PATCH", "/v1/me", 422, "invalid_request", json={"theme": "pink"})

    def list_plans(self) -> None:
        for name, wanted in PLANS.items():
            plan = self.browser.ask("GET", f"/v1/plans/{name}")
            price = plan["prices"].get("monthly", {}).get("USD")
            same((plan["credits"], plan["storage_quota_bytes"], price), wanted, f"credits, quota and price of {name}")

    def go(self) -> None:
        same(self._clerk.tell(self._client, "user.deleted", {"id": self.id, "deleted": True}), 200, "the answer")
        eventually(lambda: self.browser.status("GET", "/v1/me"), 401, "how somebody who was deleted is answered")
