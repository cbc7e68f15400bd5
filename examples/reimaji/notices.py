"""What Reimaji's users are told, in the product and by mail (D3, D8)."""

import uuid
from typing import Any

from examples.mailbox import Mailbox
from examples.reimaji.learners import Learner, Learners
from examples.reimaji.subscriptions import PLAN
from examples.running import eventually, fulfilled, same

PAID, OVER = "Payment received", "Your subscription has expired"


class Notices:
    """The notifications of learners."""

    def __init__(self, learners: Learners, mailbox: Mailbox) -> None:
        self._learners, self._mailbox = learners, mailbox

    def _told(self, learner: Learner, **wanted: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = learner.caller.ask("GET", "/v1/notifications", params=wanted)["data"]
        return found

    def _unread(self) -> int:
        found: int = self._learners.learner.caller.ask("GET", "/v1/notifications/unread")["count"]
        return found

    def read(self) -> None:
        learner = self._learners.learner
        told = self._told(learner)
        same([(each["kind"], each["title"]) for each in told], [("payment.succeeded", PAID)] * 2, "the notifications")
        same(self._unread(), 2, "how many are unread")
        learner.caller.ask("POST", f"/v1/notifications/{told[0]['id']}/read", status=204)
        same([each["id"] for each in self._told(learner, unread="true")], [told[1]["id"]], "those that are unread")
        same(learner.caller.ask("POST", "/v1/notifications/read")["count"], 1, "how many were unread until now")
        same(self._unread(), 0, "how many are unread then")

    def look_at_mail(self) -> None:
        email = self._learners.learner.email
        eventually(lambda: self._mailbox.subjects(email), [PAID] * 2, "the mail to the learner")

    def announce(self) -> None:
        learner, title = self._learners.learner, f"A new course ({uuid.uuid4().hex[:8]})"
        wanted = {"title": title, "body": "How to ask well.", "plan": PLAN}
        self._learners.admin.ask("POST", "/v1/admin/announcements", status=202, json=wanted)
        eventually(lambda: [each["title"] for each in self._told(learner, unread="true")], [title], "what is unread")

    def look_at_end(self) -> None:
        other = self._learners.other
        fulfilled(OVER in [each["title"] for each in self._told(other)], "nothing in the product says that it is over")
        eventually(lambda: OVER in self._mailbox.subjects(other.email), True, "whether mail says that it is over")
