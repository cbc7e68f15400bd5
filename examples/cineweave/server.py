"""CineWeave's server: its key, its users and their credits (A1, A2)."""

import uuid
from contextlib import suppress

from headrace_client import Headrace, HeadraceError
from headrace_client.models import Credits, Hold

from examples.running import Place, refused, same


def reserve_credits(user: Headrace, amount: int, order: str) -> Hold:
    """CineWeave's reserveCredits: yes is a hold; no is NotEnoughCredits. The same order again is the same hold."""
    return user.holds.create(amount=amount, reference=order)


def settle_credits(user: Headrace, hold: Hold, cost: int) -> Hold:
    """CineWeave's settleCredits: what the work cost is spent, the rest goes back. Sent again it is done once."""
    return user.holds.settle(hold.id, amount=cost, release_rest=True, idempotency_key=f"settle-{hold.id}")


def refund_credits(user: Headrace, hold: Hold) -> Hold:
    """CineWeave's refundCredits: all that is held goes back."""
    return user.holds.release(hold.id)


class Server:
    """What CineWeave's server does with one of its users; `service` and `user` are there once it is connected."""

    service: Headrace
    user: Headrace

    def __init__(self, place: Place, admin_key: str) -> None:
        self._place = place
        self.operator = place.client(admin_key)
        self.user_id = f"user_{uuid.uuid4().hex}"  # as Clerk names them
        self.email = f"{self.user_id}@example.com"
        self.account_id = self._key_id = ""
        self.credits = 0  # that the user should have

    def connect(self) -> None:
        """Once, when CineWeave is set up: the secret is shown now and never again."""
        made = self.operator.keys.create(name="cineweave", scopes=["generate", "read", "write", "act"])
        self._key_id = made.id
        self.service = self._place.client(made.secret)
        # Whatever is asked of `user` runs as that user's account; `create` opens it if it is not there yet.
        self.user = self.service.acting_for(f"clerk:{self.user_id}", create=True)

    def find_or_create(self) -> None:
        found = self.user.me.get()
        same(found.subject, self.user_id, "whose account was made")
        self.account_id = found.account_id
        for name in (f"clerk:{self.user_id}", self.account_id):
            again = self.service.acting_for(name).me.get()
            same(again.account_id, self.account_id, "the account of the same user")
        refused(404, "not_found", self.service.acting_for("clerk:nobody").me.get)

    def find_by_email(self) -> None:
        known = {"issuer": self.user.me.get().issuer, "subject": f"{self.user_id}-2", "email": self.email}
        opened = self.operator.admin.open_user(**known)
        same(self.operator.admin.open_user(**known), opened, "the same opened again")
        by_email = self.service.acting_for(f"email:{self.email}").me.get()
        same(by_email.account_id, opened.account_id, "the account of the address")

    def balance(self) -> Credits:
        """Credits, plan and storage."""
        return self.user.credits.get()

    def have(self, available: int, reserved: int, when: str) -> None:
        """Raises Difference where the balance is another."""
        found = self.balance()
        same((found.available, found.reserved), (available, reserved), f"available and reserved {when}")

    def look_at_new_user(self) -> None:
        plan = self.user.plans.get(self.balance().plan)
        self.credits = plan.credits if plan.granted == "once" else 0
        self.have(self.credits, 0, "of a new user")

    def give(self) -> None:
        for _ in range(2):  # sent again it is one gift
            self.operator.admin.give_credits(
                self.account_id, amount=40, kind="goodwill", reason="welcome to CineWeave",
                idempotency_key=f"welcome-{self.user_id}",
            )  # fmt: skip
        self.credits += 40
        self.have(self.credits, 0, "after the gift")

    def reserve(self) -> None:
        order = f"render-{self.user_id}"
        self._hold = reserve_credits(self.user, 6, order)
        same(reserve_credits(self.user, 6, order).id, self._hold.id, "the hold of an order that was sent again")
        self.have(self.credits - 6, 6, "after 6 were reserved")
        no = refused(402, "not_enough_credits", reserve_credits, self.user, self.credits, "more")
        same(no.extra["available"], self.credits - 6, "what the refusal says is there")

    def settle(self) -> None:
        for _ in range(2):
            hold = settle_credits(self.user, self._hold, 4)
        same((hold.settled, hold.released, hold.held), (4, 2, 0), "settled, released and held")
        self.credits -= 4
        self.have(self.credits, 0, "after it was settled")

    def refund(self) -> None:
        back = refund_credits(self.user, reserve_credits(self.user, 9, f"failed-{self.user_id}"))
        same((back.released, back.ended), (9, "released"), "what went back, and how it ended")
        self.have(self.credits, 0, "after the refund")
        newest = self.user.credits.list_entries(limit=2).first().data
        same([each.kind for each in newest], ["refund", "reserve"], "the newest two entries of the ledger")

    def overdraw(self) -> None:
        before, holds = self.balance(), self.user.holds
        for amount in (-5, 0, 1.5, "9"):
            no = refused(422, "invalid_request", holds.create, amount=amount)
            same(no.param, "amount", "the field that is wrong")
        give = self.operator.admin.give_credits
        refused(422, "invalid_request", give, self.account_id, amount=-1, reason="a negative gift")
        refused(402, "not_enough_credits", holds.create, amount=before.available + 1)
        same(self.balance(), before, "the balance after all of them")

    def leave(self) -> None:
        """Whatever went wrong: a key that acts for everybody is not left behind."""
        with suppress(HeadraceError):
            if self._key_id:
                self.operator.keys.revoke(self._key_id)
