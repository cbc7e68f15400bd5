"""`client.files`: its routes. Made from docs/openapi.json by `python -m making`; do not edit."""

from __future__ import annotations

from headrace_client._calls import OMIT, Call, Omit
from headrace_client._sync.paging import Pager
from headrace_client._sync.sending import Sender
from headrace_client.models import File, FilePage


class FilesRoutes:
    """`client.files`: its routes."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender

    def list(self, *, limit: int | Omit = OMIT) -> Pager[File, FilePage]:
        """List uploaded files. `GET /v1/files`.

        Your own files that are still there, newest first.

        Args:
            limit: How many at most.
        """
        return self._sender.pager(Call("GET", "/v1/files", query={"limit": limit}), FilePage, lambda page: page.data)

    def delete(self, file_id: str) -> None:
        """Delete an uploaded file. `DELETE /v1/files/{file_id}`.

        Gone at once for everybody; jobs that wait with it as their input will fail, and be refunded.
        """
        return self._sender.ask_nothing(Call("DELETE", "/v1/files/{file_id}", at={"file_id": file_id}))

    def get(self, file_id: str) -> File:
        """Look at an uploaded file. `GET /v1/files/{file_id}`.

        What it is, where it can be fetched, and until when it is kept.
        """
        return self._sender.ask(Call("GET", "/v1/files/{file_id}", at={"file_id": file_id}), File)
