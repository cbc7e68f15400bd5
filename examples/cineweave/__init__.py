"""CineWeave, which sells films: `python -m examples cineweave`. docs/port-cineweave.md tells of each function.

It needs HEADRACE_ADMIN_KEY, an operator's key with the scope `act`, and a system that knows Clerk (CLERK_ISSUER or OIDC_ISSUERS)
and takes payments by hand (MANUAL_PAYMENTS). Each run has new users, so that it can be run again and again.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack

import httpx

from examples.cineweave.films import Films
from examples.cineweave.money import Money
from examples.cineweave.server import Server
from examples.running import Example, Step


def _steps(client: httpx.Client, environment: Mapping[str, str], stack: ExitStack) -> Sequence[Step]:
    server = Server(client, environment["HEADRACE_ADMIN_KEY"])
    stack.callback(server.leave)
    films, money = Films(server), Money(server)
    return (
        Step("a service key acts for CineWeave's users", server.connect),
        Step("a user is found or made, once, by id at Clerk and by e-mail", server.find_or_create),
        Step("a new user has the default plan and its credits", server.look_at_new_user),
        Step("an operator gives 40 credits, with a reason", server.give),
        Step("reserveCredits says yes or no, and takes what it says yes to", server.reserve),
        Step("settleCredits takes what the work cost, and gives back the rest", server.settle),
        Step("refundCredits gives all of it back", server.refund),
        Step("an order is checked, paid for and queued; sent twice it is one job", films.create),
        Step("the job is looked at until it is done, and the film is where it says", films.get),
        Step("a picture that was uploaded begins a film", films.begin_with_a_picture),
        Step("a job that fails costs nothing, and says why", films.fail),
        Step("jobs are listed newest first, page by page", films.list_newest_first),
        Step("a result expires 24 hours after its job is done", films.look_at_expiry),
        Step("starter, creator and studio have their credits, prices and markups", money.list_plans),
        Step("each plan has its cost-plus price of 5, 10 and 15 seconds", money.quote),
        Step("a plan is changed with its credits, and it is written down", money.change_plan),
        Step("a payment is ordered, paid and credited, once", money.pay),
        Step("payments are listed newest first", money.list_payments),
        Step("job, balance and job list are seen changing, and nobody polls", films.watch),
        Step("a single job is followed to its end", films.follow),
        Step("credits, jobs, users and payments have their figures", money.look_at_figures),
        Step("credits never become negative", server.overdraw),
        Step("a duplicate with another content is refused", films.repeat_otherwise),
        Step("invalid input is refused by the field's name, and costs nothing", films.order_nonsense),
        Step("the film is gone, and says so", films.find_expired, days=2),
    )


EXAMPLE = Example("cineweave", "films from a prompt", ("HEADRACE_ADMIN_KEY",), _steps)
