"""What Reimaji's users are told, in the product and by mail (D3, D8)."""

import uuid

from examples.mailbox import Mailbox
from examples.reimaji.learners import Learners
from examples.reimaji.subscriptions import PLAN
from examples.running import eventually, fulfilled, same

PAID, OVER = "Payment received", "Your subscription has expired"


class Notices:
    """The notifications of learners."""

    def __init__(self, learners: Learners, mailbox: Mailbox) -> None:
        self._learners, self._mailbox = learners, mailbox

    def read(self) -> None:
        notifications = self._learners.learner.client.notifications
        told = list(notifications.list())
        same([(each.kind, each.title) for each in told], [("payment.succeeded", PAID)] * 2, "the notifications")
        same(notifications.count_unread_notifications().count, 2, "how many are unread")
        notifications.read(told[0].id)
        same([each.id for each in notifications.list(unread=True)], [told[1].id], "those that are unread")
        same(notifications.read_all_notifications().count, 1, "how many were unread until now")
        same(notifications.count_unread_notifications().count, 0, "how many are unread then")

    def look_at_mail(self) -> None:
        email = self._learners.learner.email
        eventually(lambda: self._mailbox.subjects(email), [PAID] * 2, "the mail to the learner")

    def announce(self) -> None:
        title = f"A new course ({uuid.uuid4().hex[:8]})"
        self._learners.admin.admin.create_announcement(title=title, body="How to ask well.", plan=PLAN)
        unread = self._learners.learner.client.notifications.list(unread=True)
        eventually(lambda: [each.title for each in unread] == [title], True, "whether it is what is unread")

    def look_at_end(self) -> None:
        other = self._learners.other
        told = [each.title for each in other.client.notifications.list()]
        fulfilled(OVER in told, "nothing in the product says that it is over")
        eventually(lambda: OVER in self._mailbox.subjects(other.email), True, "whether mail says that it is over")
