"""`client.certificates`: its routes. Made from docs/openapi.json by `python -m making`; do not edit."""

from __future__ import annotations

from headrace_client._async.sending import AsyncSender
from headrace_client._calls import Call


class AsyncCertificatesRoutes:
    """`client.certificates`: its routes."""

    def __init__(self, sender: AsyncSender) -> None:
        self._sender = sender

    async def get(self, token: str) -> str:
        """See a certificate. `GET /certificates/{token}`.

        Needs no key: the address itself is the secret. A page that shows who has completed which course, and when.
        """
        return await self._sender.ask_text(Call("GET", "/certificates/{token}", at={"token": token}))

    async def get_picture(self, token: str) -> bytes:
        """See a certificate as a picture. `GET /certificates/{token}/certificate.png`.

        A4, across, fit for print. 404 too where the fonts of this machine lack letters of the name: the page shows them.
        """
        return await self._sender.ask_bytes(Call("GET", "/certificates/{token}/certificate.png", at={"token": token}))
