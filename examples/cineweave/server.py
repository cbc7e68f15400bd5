"""CineWeave's server: its key, its users and their credits (A1, A2)."""

import uuid
from contextlib import suppress
from typing import Any

import httpx

from examples.callers import Caller
from examples.running import same

Hold = dict[str, Any]


def reserve_credits(user: Caller, amount: int, order: str) -> Hold:
    """CineWeave's reserveCredits: yes is a hold; no is 402. The same order again is the same hold."""
    hold: Hold = user.ask("POST", "/v1/holds", status=201, json={"amount": amount, "reference": order})
    return hold


def settle_credits(user: Caller, hold: Hold, cost: int) -> Hold:
    """CineWeave's settleCredits: what the work cost is spent, the rest goes back. Sent again it is done once."""
    sent = {"amount": cost, "release_rest": True}
    done: Hold = user.ask("POST", f"/v1/holds/{hold['id']}/settle", once=f"settle-{hold['id']}", json=sent)
    return done


def refund_credits(user: Caller, hold: Hold) -> Hold:
    """CineWeave's refundCredits: all that is held goes back."""
    done: Hold = user.ask("POST", f"/v1/holds/{hold['id']}/release", json={})
    return done


class Server:
    """What CineWeave's server does with one of its users."""

    def __init__(self, client: httpx.Client, admin_key: str) -> None:
        self._client = client
        self.operator = Caller(client, admin_key)
        self.user_id = f"user_{uuid.uuid4().hex}"  # as Clerk names them
        self.email = f"{self.user_id}@example.com"
        self.account_id = self._key_id = ""
        self.credits = 0  # that the user should have
        self._hold: Hold = {}

    def connect(self) -> None:
        """Once, when CineWeave is set up: the secret is shown now and never again."""
        wanted = {"name": "cineweave", "scopes": ["generate", "read", "write", "act"]}
        made = self.operator.ask("POST", "/v1/keys", status=201, json=wanted)
        self._key_id = made["id"]
        self.service = Caller(self._client, made["secret"])
        # Whatever is asked as `user` runs as that user's account; `Headrace-Create` opens it if it is not there yet.
        self.user = self.service.acting_for(f"clerk:{self.user_id}", create=True)

    def find_or_create(self) -> None:
        found = self.user.ask("GET", "/v1/me")
        same(found["subject"], self.user_id, "whose account was made")
        self.account_id = found["account_id"]
        for name in (f"clerk:{self.user_id}", self.account_id):
            again = self.service.acting_for(name).ask("GET", "/v1/me")
            same(again["account_id"], self.account_id, f"the account of {name}")
        # Under an id and an address at once: the account is there already (200), and takes no second one's place.
        known = {"issuer": found["issuer"], "subject": f"{self.user_id}-2", "email": self.email}
        opened = self.operator.ask("POST", "/v1/admin/users", status=201, json=known)
        same(self.operator.ask("POST", "/v1/admin/users", json=known), opened, "the same opened again")
        by_email = self.service.acting_for(f"email:{self.email}").ask("GET", "/v1/me")
        same(by_email["account_id"], opened["account_id"], "the account of the address")
        self.service.acting_for("clerk:nobody").refused("GET", "/v1/me", 404, "not_found")

    def balance(self) -> dict[str, Any]:
        """Credits, plan and storage."""
        found: dict[str, Any] = self.user.ask("GET", "/v1/credits")
        return found

    def have(self, available: int, reserved: int, when: str) -> None:
        """Raises Difference where the balance is another."""
        found = self.balance()
        same((found["available"], found["reserved"]), (available, reserved), f"available and reserved {when}")

    def look_at_new_user(self) -> None:
        found = self.balance()
        plan = self.user.ask("GET", f"/v1/plans/{found['plan']}")
        once = plan["credits"] if plan["granted"] == "once" else 0
        self.have(once, 0, "of a new user")
        self.credits = once

    def give(self) -> None:
        wanted = {"amount": 40, "reason": "welcome to CineWeave", "kind": "goodwill"}
        path = f"/v1/admin/accounts/{self.account_id}/grants"
        for _ in range(2):  # sent again it is one gift
            self.operator.ask("POST", path, status=201, once=f"welcome-{self.user_id}", json=wanted)
        self.credits += 40
        self.have(self.credits, 0, "after the gift")

    def reserve(self) -> None:
        order = f"render-{self.user_id}"
        self._hold = reserve_credits(self.user, 6, order)
        same(reserve_credits(self.user, 6, order)["id"], self._hold["id"], "the hold of an order that was sent again")
        self.have(self.credits - 6, 6, "after 6 were reserved")
        no = self.user.refused("POST", "/v1/holds", 402, "not_enough_credits", json={"amount": self.credits})
        same(no["available"], self.credits - 6, "what the refusal says is there")

    def settle(self) -> None:
        for _ in range(2):
            hold = settle_credits(self.user, self._hold, 4)
        same((hold["settled"], hold["released"], hold["held"]), (4, 2, 0), "settled, released and held")
        self.credits -= 4
        self.have(self.credits, 0, "after it was settled")

    def refund(self) -> None:
        back = refund_credits(self.user, reserve_credits(self.user, 9, f"failed-{self.user_id}"))
        same((back["released"], back["ended"]), (9, "released"), "what went back, and how it ended")
        self.have(self.credits, 0, "after the refund")
        moved = [each["kind"] for each in self.user.ask("GET", "/v1/credits/entries")["data"]]
        same(moved[:2], ["refund", "reserve"], "the newest two entries of the ledger")

    def overdraw(self) -> None:
        before = self.balance()
        for amount in (-5, 0, 1.5, "9"):
            no = self.user.refused("POST", "/v1/holds", 422, "invalid_request", json={"amount": amount})
            same(no["param"], "amount", f"the field that is wrong with {amount!r}")
        wanted = {"amount": -1, "reason": "a negative gift"}
        path = f"/v1/admin/accounts/{self.account_id}/grants"
        self.operator.refused("POST", path, 422, "invalid_request", json=wanted)
        self.user.refused("POST", "/v1/holds", 402, "not_enough_credits", json={"amount": before["available"] + 1})
        same(self.balance(), before, "the balance after all of them")

    def leave(self) -> None:
        """Whatever went wrong: a key that acts for everybody is not left behind."""
        with suppress(httpx.HTTPError):
            if self._key_id:
                self.operator.status("DELETE", f"/v1/keys/{self._key_id}")

    def fetch(self, url: str) -> httpx.Response:
        """What is at a result's address. Whoever has the address may read it, so it is sent no key."""
        return self._client.get(url)
