"""/api/account: the web client's accounts, and the tokens of their month."""

from typing import Any

from starlette.responses import Response

from api.provisioning.door import ProvisioningRoute
from api.provisioning.shapes import GetAccount, OneAccount, RecordTokens, UpdateAccount, milliseconds_of, moment_of
from api.routes.fast_routes import answer
from api.routes.prefix_router import PrefixRouter
from models.db import certain
from models.provisioning import allowances
from models.provisioning.allowances import WebAccountRow

router = PrefixRouter(prefix="/api/account", tags=["web client"], route_class=ProvisioningRoute)


@router.post("/getOrCreate", response_model=OneAccount, summary="Look at a user's account")
def get_or_create_account(body: GetAccount) -> Response:
    """The first look makes it: plan and billing `free`. There is one per user, however many look at once."""
    with certain() as conn:
        found = allowances.get_or_create(conn, body.user_id)
    return _answer(found)


@router.post("/updateAccount", response_model=OneAccount, summary="Change what a user is on")
def update_account(body: UpdateAccount) -> Response:
    """In place; the month's tokens stay. `premiumExpiresAt` left out: there is none any more."""
    said = body.payload
    ends = None if said.premium_expires_at is None else moment_of(said.premium_expires_at)
    with certain() as conn:
        found = allowances.update(conn, said.user_id, said.plan_tier, said.billing_status, ends)
    return _answer(found)


@router.post("/recordUsage", response_model=OneAccount, summary="Count tokens against the month")
def record_tokens(body: RecordTokens) -> Response:
    """Each call counts. What goes beyond the allowance counts as well: it was used."""
    with certain() as conn:
        found = allowances.record_tokens(conn, body.user_id, body.provider, body.tokens_used)
    return _answer(found)


def _answer(found: WebAccountRow) -> Response:
    ends = found.premium_expires_at
    account: dict[str, Any] = {
        "userId": found.user_id, "planTier": found.plan, "billingStatus": found.billing_status,
        "premiumExpiresAt": None if ends is None else milliseconds_of(ends),
        "usage": {
            "monthTokensUsed": found.month_tokens, "monthlyAllowance": found.monthly_allowance,
            "lastUpdated": milliseconds_of(found.used_at),
        },
    }  # fmt: skip
    return answer({"account": account})
