"""The console: what operators see and do, as pages."""

from api.console import accounts, catalogue, fleet, house, job_deeds, jobs, money, overview, providers, signing

CONSOLE_ROUTERS = (
    signing.open_router,
    signing.router,
    overview.router,
    jobs.router,
    job_deeds.router,
    fleet.router,
    providers.router,
    catalogue.router,
    accounts.router,
    money.router,
    house.router,
    signing.last_router,
)
