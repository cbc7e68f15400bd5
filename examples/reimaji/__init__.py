"""Reimaji, which teaches: `python -m examples reimaji`. docs/port-reimaji.md tells of each function.

It needs HEADRACE_ADMIN_KEY, an operator's key with the scope `act`; and as the system has them XENDIT_URL, XENDIT_CALLBACK_TOKEN and
SMTP_URL. The two addresses are of this machine: Xendit and the mail server are played here (`examples/xendit.py`,
`examples/mailbox.py`). Where HOUSE_ACCOUNT is set too, summaries are made. Each run has new users, so that it can be run again and
again.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from examples.mailbox import Mailbox
from examples.photos import photos_of
from examples.reimaji.desk import Desk
from examples.reimaji.learners import Learners
from examples.reimaji.notices import Notices
from examples.reimaji.playground import Playground
from examples.reimaji.school import School
from examples.reimaji.subscriptions import Subscriptions, days_to_grace
from examples.running import Example, Place, Step
from examples.xendit import Xendit

NEEDS = ("HEADRACE_ADMIN_KEY", "XENDIT_URL", "XENDIT_CALLBACK_TOKEN", "SMTP_URL")


def _steps(place: Place, environment: Mapping[str, str], stack: ExitStack) -> Sequence[Step]:
    learners = Learners(place, environment["HEADRACE_ADMIN_KEY"])
    stack.callback(learners.leave)
    xendit = Xendit(environment["XENDIT_URL"], environment["XENDIT_CALLBACK_TOKEN"].partition(",")[0].strip(), stack)
    subscriptions = Subscriptions(place, learners, xendit)
    mailbox = Mailbox(environment["SMTP_URL"], stack)
    notices, playground, desk = Notices(learners, mailbox), Playground(learners), Desk(place, learners)
    school, photos, house = School(place, learners, mailbox), photos_of(environment), environment.get("HOUSE_ACCOUNT")
    return (
        Step("D1 connect", "a service key acts for Reimaji's users", learners.connect),
        Step("D1 createUser", "a new user is free, and found by id and e-mail", learners.come),
        Step("D1 updatePreferences", "language, notifications and theme are kept", learners.prefer),
        Step("D1 changeRole", "an admin changes a role, and it is written down", learners.change_role),
        Step("D4 createSession", "a text is a session, with title, prompt, response and tokens", playground.save),
        Step("D4 shareSession", "a public one is read by others, and changed by nobody else", playground.share),
        Step("D4 checkDailyLimit", "a free user has five texts a day", playground.use_up_the_day),
        Step("D4 deleteSession", "a session goes, and its job stays", playground.delete),
        Step(
            "D5 summarise",
            "an article becomes a paragraph, a paper its implications too",
            lambda: playground.summarise(house),
        ),
        Step("D6 createArticle", "a draft is seen by editors alone", desk.write),
        Step("D6 publish, unpublish", "an article bears the date of its last publication", desk.publish),
        Step("D6 updateArticle", "what was said before is kept, and no editor undoes another's", desk.revise),
        Step("D6 createArticle", "of a premium article who is free reads the teaser", desk.write_premium),
        Step("D6 listArticles, search", "news and research page by page, and searched together", desk.find),
        Step("D6 countView", "views are counted, and a like once a user", desk.like),
        Step("D7 createCourse", "a course has modules, lessons in order, and a quiz", school.write),
        Step("D7 recordProgress", "a lesson is for everybody or for who is pro; progress counts once", school.begin),
        Step("D3 startTrial", "a trial makes the user pro for seven days, once", subscriptions.begin_trial),
        Step("D10 canReadPremium", "who is pro reads on", desk.read_premium),
        Step("D2 createInvoice", "an invoice is made once, and waits to be paid", subscriptions.order_month),
        Step("D2 invoice callback", "it is believed only with the token, and counts once", subscriptions.pay_month),
        Step("D3 activate", "a paid month goes on from the trial's end", subscriptions.look_at_month),
        Step("D3 extend", "a paid year goes on from the month's end", subscriptions.pay_year),
        Step("D2 invoice callback", "an invoice that nobody paid has expired", subscriptions.let_expire),
        Step("D3 cancel", "it runs to its end, and may go on", subscriptions.cancel_and_resume),
        Step("D8 listNotifications, markRead", "payments are told, and read one by one or all at once", notices.read),
        Step("D3 sendConfirmation", "the confirmation of a payment is sent by mail", notices.look_at_mail),
        Step("D8 announce", "an announcement reaches who is on the plan", notices.announce),
        Step("D7 submitQuiz", "a quiz is tried until it is passed, which completes the course", school.finish),
        Step("D8 course completed", "it is told, in the product and by mail", school.be_told),
        Step("D7 certificate", "a page and a picture, for whoever has its address", school.show_certificate),
        Step(
            "D7 certificate", "a browser shows it, on a wide screen and on a phone", lambda: school.photograph(photos)
        ),
        Step("D9 dashboard", "admins see users, revenue and who is active", learners.look_at_figures),
        Step("D9 dashboard", "and how many articles there are", desk.look_at_figures),
        Step("D6 deleteArticle", "a deleted article is gone for readers, and may be restored", desk.delete),
        Step("D2 createInvoice", "another user pays for one month", subscriptions.pay_for_another),
        Step(
            "D3 graceDays",
            "a month that was not renewed goes on for three days",
            subscriptions.be_in_grace,
            days=days_to_grace(),
        ),
        Step(
            "D3 expireSubscriptions",
            "what has run out is expired: the user is free again",
            subscriptions.run_out,
            days=45,
        ),
        Step("D8 subscription expired", "it is told, in the product and by mail", notices.look_at_end, days=45),
    )


EXAMPLE = Example("reimaji", "learning, by subscription", NEEDS, _steps)
