"""Reimaji, which teaches: `python -m examples reimaji`. docs/port-reimaji.md tells of each function.

It needs HEADRACE_ADMIN_KEY, an operator's key with the scope `act`; and as the system has them XENDIT_URL, XENDIT_CALLBACK_TOKEN and
SMTP_URL. The two addresses are of this machine: Xendit and the mail server are played here (`examples/xendit.py`,
`examples/mailbox.py`). Where HOUSE_ACCOUNT is set too, summaries are made. Each run has new users, so that it can be run again and
again.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack

import httpx

from examples.mailbox import Mailbox
from examples.photos import photos_of
from examples.reimaji.desk import Desk
from examples.reimaji.learners import Learners
from examples.reimaji.notices import Notices
from examples.reimaji.playground import Playground
from examples.reimaji.school import School
from examples.reimaji.subscriptions import Subscriptions
from examples.running import Example, Step
from examples.xendit import Xendit

NEEDS = ("HEADRACE_ADMIN_KEY", "XENDIT_URL", "XENDIT_CALLBACK_TOKEN", "SMTP_URL")


def _steps(client: httpx.Client, environment: Mapping[str, str], stack: ExitStack) -> Sequence[Step]:
    learners = Learners(client, environment["HEADRACE_ADMIN_KEY"])
    stack.callback(learners.leave)
    xendit = Xendit(environment["XENDIT_URL"], environment["XENDIT_CALLBACK_TOKEN"].partition(",")[0].strip(), stack)
    subscriptions = Subscriptions(client, learners, xendit)
    mailbox = Mailbox(environment["SMTP_URL"], stack)
    notices, playground, desk = Notices(learners, mailbox), Playground(learners), Desk(client, learners)
    school, photos, house = School(client, learners, mailbox), photos_of(environment), environment.get("HOUSE_ACCOUNT")
    return (
        Step("a service key acts for Reimaji's users", learners.connect),
        Step("a new user is free, and found by id and e-mail", learners.come),
        Step("language, notifications and theme are kept", learners.prefer),
        Step("an admin changes a role, and it is written down", learners.change_role),
        Step("a text is a session, with title, prompt, response and tokens", playground.save),
        Step("a public session is read by others, and changed by nobody else", playground.share),
        Step("a free user has five texts a day", playground.use_up_the_day),
        Step("a session goes, and its job stays", playground.delete),
        Step("an article becomes a paragraph, a paper its implications too", lambda: playground.summarise(house)),
        Step("a draft is seen by editors alone", desk.write),
        Step("an article bears the date of its last publication", desk.publish),
        Step("a change keeps what was said before, and no editor undoes another's", desk.revise),
        Step("of a premium article who is free reads the teaser", desk.write_premium),
        Step("news and research are listed page by page, and searched together", desk.find),
        Step("a like counts once a user, and views are counted", desk.like),
        Step("a course has modules, lessons in order, and a quiz", school.write),
        Step("a lesson is for everybody or for who is pro; progress counts once", school.begin),
        Step("a trial makes the user pro for seven days, once", subscriptions.begin_trial),
        Step("who is pro reads on", desk.read_premium),
        Step("an invoice is made once, and waits to be paid", subscriptions.order_month),
        Step("a callback is believed only with the token, and counts once", subscriptions.pay_month),
        Step("a paid month goes on from the trial's end", subscriptions.look_at_month),
        Step("a paid year goes on from the month's end", subscriptions.pay_year),
        Step("an invoice that nobody paid has expired", subscriptions.let_expire),
        Step("a subscription that is cancelled runs to its end, and may go on", subscriptions.cancel_and_resume),
        Step("payments are notifications, read one by one or all at once", notices.read),
        Step("the confirmation of a payment is sent by mail", notices.look_at_mail),
        Step("an announcement reaches who is on the plan", notices.announce),
        Step("a quiz is tried until it is passed, which completes the course", school.finish),
        Step("who has completed a course is told, in the product and by mail", school.be_told),
        Step("a certificate is a page and a picture, for whoever has its address", school.show_certificate),
        Step(f"a browser shows the certificate, as it is in {photos.folder}", lambda: school.photograph(photos)),
        Step("admins see users, revenue and who is active, and nobody else does", learners.look_at_figures),
        Step("and how many articles there are", desk.look_at_figures),
        Step("a deleted article is gone for readers, and may be restored", desk.delete),
        Step("another user pays for one month", subscriptions.pay_for_another),
        Step("what has run out is expired: the user is free again", subscriptions.run_out, days=45),
        Step("and is told so, in the product and by mail", notices.look_at_end, days=45),
    )


EXAMPLE = Example("reimaji", "learning, by subscription", NEEDS, _steps)
