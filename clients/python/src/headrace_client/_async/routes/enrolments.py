"""`client.enrolments`: its routes. Made from docs/openapi.json by `python -m making`; do not edit."""

from __future__ import annotations

from headrace_client._async.paging import AsyncPager
from headrace_client._async.sending import AsyncSender
from headrace_client._calls import OMIT, Call, Omit
from headrace_client.models import Enrolment, EnrolmentPage


class AsyncEnrolmentsRoutes:
    """`client.enrolments`: its routes."""

    def __init__(self, sender: AsyncSender) -> None:
        self._sender = sender

    def list(self, *, limit: int | Omit = OMIT) -> AsyncPager[Enrolment, EnrolmentPage]:
        """List the courses that you have begun. `GET /v1/enrolments`.

        Newest first, with how far you have come and, once completed, the certificate.

        Args:
            limit: How many at most.
        """
        return self._sender.pager(
            Call("GET", "/v1/enrolments", query={"limit": limit}), EnrolmentPage, lambda page: page.data
        )
