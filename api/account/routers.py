"""An account's own pages: what its people see and do."""

from api.account import balance, own_jobs, own_keys, own_payments, own_webhooks, trying
from api.account.site import ACCOUNT_DOORS

ACCOUNT_ROUTERS = (
    ACCOUNT_DOORS.outer,
    ACCOUNT_DOORS.inner,
    balance.router,
    own_keys.router,
    own_jobs.router,
    own_webhooks.router,
    own_payments.router,
    trying.router,
    trying.upload_router,
    ACCOUNT_DOORS.last,
)
