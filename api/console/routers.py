"""The console: what operators see and do, as pages."""

from api.console import jobs, signing

ROUTERS = (
    signing.open_router,
    signing.router,
    jobs.router,
    signing.last_router,
)
