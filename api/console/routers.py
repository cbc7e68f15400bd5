"""The console: what operators see and do, as pages."""

from api.console import accounts, catalogue, fleet, house, job_deeds, jobs, money, overview, providers
from api.console.site import CONSOLE_DOORS

CONSOLE_ROUTERS = (
    CONSOLE_DOORS.outer,
    CONSOLE_DOORS.inner,
    overview.router,
    jobs.router,
    job_deeds.router,
    fleet.router,
    providers.router,
    catalogue.router,
    accounts.router,
    money.router,
    house.router,
    CONSOLE_DOORS.last,
)
