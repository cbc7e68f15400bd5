"""`client.playground`: its routes. Made from docs/openapi.json by `python -m making`; do not edit."""

from __future__ import annotations

from headrace_client._async.paging import AsyncPager
from headrace_client._async.sending import AsyncSender
from headrace_client._calls import OMIT, Call, Omit
from headrace_client.models import ListedSession, Session, SessionPage


class AsyncPlaygroundRoutes:
    """`client.playground`: its routes."""

    def __init__(self, sender: AsyncSender) -> None:
        self._sender = sender

    def list_sessions(self, *, limit: int | Omit = OMIT) -> AsyncPager[ListedSession, SessionPage]:
        """List sessions. `GET /v1/playground/sessions`.

        Your own, newest first, without their texts.

        Args:
            limit: How many at most.
        """
        return self._sender.pager(
            Call("GET", "/v1/playground/sessions", query={"limit": limit}), SessionPage, lambda page: page.data
        )

    async def create_session(
        self,
        *,
        explanation: str | Omit | None = OMIT,
        job: str | Omit | None = OMIT,
        model: str | Omit | None = OMIT,
        prompt: str | Omit | None = OMIT,
        public: bool | Omit = OMIT,
        title: str | Omit | None = OMIT,
        idempotency_key: str | None = None,
    ) -> Session:
        """Save a text as a session. `POST /v1/playground/sessions`.

        One that was made, or one to make: then its job is ordered, and the response is there when that has ended
        (`Prefer: wait=N` waits for it, as with jobs; `/v1/jobs/{job}/events` tells it as it is written).

        Args:
            job: A text job that has succeeded; saved again it is the same session.
            model: One of GET /v1/models.
            prompt: As long as the model takes.
            public: Whether anybody who is signed in may read it.
            title: The beginning of the prompt, if left out.
            idempotency_key: Made by itself, and kept over retries; give your own to repeat a call later.
        """
        return await self._sender.ask(
            Call(
                "POST",
                "/v1/playground/sessions",
                body={
                    "explanation": explanation,
                    "job": job,
                    "model": model,
                    "prompt": prompt,
                    "public": public,
                    "title": title,
                },
                once=True,
                key=idempotency_key,
            ),
            Session,
        )

    async def delete_session(self, session_id: str) -> None:
        """Delete a session. `DELETE /v1/playground/sessions/{session_id}`.

        It and its response are gone; its job stays in the list of jobs.
        """
        return await self._sender.ask_nothing(
            Call("DELETE", "/v1/playground/sessions/{session_id}", at={"session_id": session_id})
        )

    async def get_session(self, session_id: str) -> Session:
        """Look at a session. `GET /v1/playground/sessions/{session_id}`.

        Your own, or a public one of anybody's. Public means to everybody who is signed in: what strangers have written is not
        served to the whole web from this address; a product that wants that shows it on a page of its own.
        """
        return await self._sender.ask(
            Call("GET", "/v1/playground/sessions/{session_id}", at={"session_id": session_id}), Session
        )

    async def change_session(
        self,
        session_id: str,
        *,
        explanation: str | Omit | None = OMIT,
        public: bool | Omit | None = OMIT,
        title: str | Omit | None = OMIT,
    ) -> Session:
        """Rename, explain or publish a session. `PATCH /v1/playground/sessions/{session_id}`.

        Only what is named changes. One that is not public any more is nobody else's at once.

        Args:
            explanation: Null takes it away.
            public: Publish it, or take it back.
        """
        return await self._sender.ask(
            Call(
                "PATCH",
                "/v1/playground/sessions/{session_id}",
                at={"session_id": session_id},
                body={"explanation": explanation, "public": public, "title": title},
            ),
            Session,
        )
