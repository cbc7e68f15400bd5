"""CineWeave, which sells films: `python -m examples cineweave`. docs/port-cineweave.md tells of each function.

It needs HEADRACE_ADMIN_KEY, an operator's key with the scope `act`, and a system that knows Clerk (CLERK_ISSUER or OIDC_ISSUERS)
and takes payments by hand (MANUAL_PAYMENTS). Each run has new users, so that it can be run again and again.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from examples.cineweave.films import Films
from examples.cineweave.money import Money
from examples.cineweave.server import Server
from examples.running import Example, Place, Step


def _steps(place: Place, environment: Mapping[str, str], stack: ExitStack) -> Sequence[Step]:
    server = Server(place, environment["HEADRACE_ADMIN_KEY"])
    stack.callback(server.leave)
    films, money = Films(server), Money(server)
    return (
        Step("A1 connect", "a service key acts for CineWeave's users", server.connect),
        Step("A1 findOrCreateUser", "a user is found or made, once, by id at Clerk", server.find_or_create),
        Step("A1 findOrCreateUser", "and by e-mail, where they were opened with one", server.find_by_email),
        Step("A1 findOrCreateUser", "a new user has the default plan and its credits", server.look_at_new_user),
        Step("A2 addCredits", "an operator gives 40 credits, with a reason", server.give),
        Step("A2 reserveCredits", "it says yes or no, and takes what it says yes to", server.reserve),
        Step("A2 settleCredits", "what the work cost is taken, and the rest is given back", server.settle),
        Step("A2 refundCredits", "all of it goes back", server.refund),
        Step("A3 createJob", "an order is checked, paid for and queued; sent twice it is one job", films.create),
        Step("A3 getJob", "the job is waited for, and the film is where it says", films.get),
        Step("A3 createJob", "a picture that was uploaded begins a film", films.begin_with_a_picture),
        Step("A3 failJob", "a job that fails costs nothing, and says why", films.fail),
        Step("A3 listJobs", "jobs are listed newest first, page by page", films.list_newest_first),
        Step("A4 expireResults", "a result expires 24 hours after its job is done", films.look_at_expiry),
        Step(
            "A5 listPlans, getPlan", "starter, creator and studio have their credits, prices, markups", money.list_plans
        ),
        Step("A5 calculateCost", "each plan has its cost-plus price of 5, 10 and 15 seconds", money.quote),
        Step("A5 changePlan", "a plan is changed with its credits, and it is written down", money.change_plan),
        Step("A6 createPayment", "a payment is ordered, paid and credited, once", money.pay),
        Step("A6 listPayments", "payments are listed newest first", money.list_payments),
        Step("A7 live queries", "job, balance and job list are seen changing, and nobody polls", films.watch),
        Step("A7 live queries", "a single job is followed to its end", films.follow),
        Step("A8 figures", "credits, jobs, users and payments have their figures", money.look_at_figures),
        Step("A9 edge cases", "credits never become negative", server.overdraw),
        Step("A9 edge cases", "a duplicate with another content is refused", films.repeat_otherwise),
        Step("A9 edge cases", "invalid input is refused by the field's name, and costs nothing", films.order_nonsense),
        Step("A4 expireResults", "the film is gone, and says so", films.find_expired, days=2),
    )


EXAMPLE = Example("cineweave", "films from a prompt", ("HEADRACE_ADMIN_KEY",), _steps)
