"""Reimaji, which teaches: `python -m examples reimaji`. docs/port-reimaji.md tells of each function.

It needs HEADRACE_ADMIN_KEY, an operator's key with the scope `act`; and as the system has them XENDIT_URL, XENDIT_CALLBACK_TOKEN and
SMTP_URL. The two addresses are of this machine: Xendit and the mail server are played here (`examples/xendit.py`,
`examples/mailbox.py`). Each run has new users, so that it can be run again and again.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack

import httpx

from examples.mailbox import Mailbox
from examples.reimaji.learners import Learners
from examples.reimaji.notices import Notices
from examples.reimaji.subscriptions import Subscriptions
from examples.running import Example, Step
from examples.xendit import Xendit

NEEDS = ("HEADRACE_ADMIN_KEY", "XENDIT_URL", "XENDIT_CALLBACK_TOKEN", "SMTP_URL")


def _steps(client: httpx.Client, environment: Mapping[str, str], stack: ExitStack) -> Sequence[Step]:
    learners = Learners(client, environment["HEADRACE_ADMIN_KEY"])
    stack.callback(learners.leave)
    xendit = Xendit(environment["XENDIT_URL"], environment["XENDIT_CALLBACK_TOKEN"].partition(",")[0].strip(), stack)
    subscriptions = Subscriptions(client, learners, xendit)
    notices = Notices(learners, Mailbox(environment["SMTP_URL"], stack))
    return (
        Step("a service key acts for Reimaji's users", learners.connect),
        Step("a new user is free, and found by id and e-mail", learners.come),
        Step("language, notifications and theme are kept", learners.prefer),
        Step("an admin changes a role, and it is written down", learners.change_role),
        Step("a trial makes the user pro for seven days, once", subscriptions.begin_trial),
        Step("an invoice is made once, and waits to be paid", subscriptions.order_month),
        Step("a callback is believed only with the token, and counts once", subscriptions.pay_month),
        Step("a paid month goes on from the trial's end", subscriptions.look_at_month),
        Step("a paid year goes on from the month's end", subscriptions.pay_year),
        Step("an invoice that nobody paid has expired", subscriptions.let_expire),
        Step("a subscription that is cancelled runs to its end, and may go on", subscriptions.cancel_and_resume),
        Step("payments are notifications, read one by one or all at once", notices.read),
        Step("the confirmation of a payment is sent by mail", notices.look_at_mail),
        Step("an announcement reaches who is on the plan", notices.announce),
        # Here come playground, summaries, content and learning (D4 to D7), once the product has them.
        Step("admins see users, revenue and who is active, and nobody else does", learners.look_at_figures),
        Step("another user pays for one month", subscriptions.pay_for_another),
        Step("what has run out is expired: the user is free again", subscriptions.run_out, days=45),
        Step("and is told so, in the product and by mail", notices.look_at_end, days=45),
    )


EXAMPLE = Example("reimaji", "learning, by subscription", NEEDS, _steps)
