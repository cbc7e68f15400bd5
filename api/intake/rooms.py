"""Room for what clients send, taken before the first byte is read: a few uploads of one account at once, and no more bytes
on disk than the process has room for. For one event loop; across processes the account's row decides (`models.files.uploads`).
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from uuid import UUID

from starlette.requests import Request

from common.errors import Overloaded, TooManyUploads
from common.settings import settings
from models.db import transaction
from models.files import room
from models.jobs import answered

FORM_BYTES = 65_536  # a form's own edges and its other fields, at most
COPIES = 2  # the form's parser keeps one while ours is written
AGAIN_SECONDS = 2


class Rooms:
    """What is under way. Nothing in it waits with a room taken but the upload itself. `run` does work in a thread of a
    bounded place.
    """

    def __init__(self, run: Callable[[Callable[[], None]], Awaitable[None]]) -> None:
        self._run = run
        self._under_way: Counter[UUID] = Counter()
        self._coming: Counter[UUID] = Counter()  # bytes at least, by account
        self._bytes = 0
        self._left = asyncio.Event()  # set when somebody leaves, and then another

    @asynccontextmanager
    async def of_form(self, request: Request, account_id: UUID) -> AsyncIterator[None]:
        """For the time of an upload whose body is not read yet. Raises TooManyUploads, Overloaded, StorageQuotaExceeded."""
        said = request.headers.get("content-length", "")
        most = int(said) if said.isdecimal() else settings().max_upload_bytes + FORM_BYTES
        least = max(1, int(said) - FORM_BYTES) if said.isdecimal() else 1
        key = request.headers.get("idempotency-key")
        with self._taken(account_id, least, COPIES * most):
            await self._run(partial(_check, account_id, self._coming[account_id], key))
            yield

    @asynccontextmanager
    async def of_data(self, account_id: UUID, size: int, seconds: float) -> AsyncIterator[None]:
        """For the time of a file that came in a body of JSON: it waits for its account's others. Raises as `of_form`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._is_full(account_id):
                    await self._left.wait()
        with self._taken(account_id, 1, size):
            yield

    def _is_full(self, account_id: UUID) -> bool:
        return self._under_way[account_id] >= settings().uploads_per_account

    def _taken(self, account_id: UUID, least: int, most: int) -> "_Taken":
        if self._is_full(account_id):
            raise TooManyUploads(
                f"{settings().uploads_per_account} uploads of this account are under way; send this one again soon",
                retry_after=AGAIN_SECONDS,
            )
        limit = settings().spool_megabytes * 1024 * 1024
        if self._bytes + most > limit and self._bytes:  # one that is larger than all room is let in alone
            raise Overloaded("too many bytes are being uploaded; send this again soon", retry_after=AGAIN_SECONDS)
        return _Taken(self, account_id, least, most)

    def change(self, account_id: UUID, count: int, least: int, most: int) -> None:
        """Somebody comes, or leaves."""
        self._bytes += most
        for counter, by in ((self._under_way, count), (self._coming, least)):
            counter[account_id] += by
            if not counter[account_id]:
                del counter[account_id]
        if count < 0:
            self._left.set()
            self._left = asyncio.Event()


class _Taken:
    def __init__(self, rooms: Rooms, account_id: UUID, least: int, most: int) -> None:
        self._rooms, self._what = rooms, (account_id, least, most)

    def __enter__(self) -> None:
        account_id, least, most = self._what
        self._rooms.change(account_id, 1, least, most)

    def __exit__(self, *_: object) -> None:
        account_id, least, most = self._what
        self._rooms.change(account_id, -1, -least, -most)


def _check(account_id: UUID, size_bytes: int, key: str | None) -> None:
    with transaction() as conn:
        if key is not None and answered.knows(conn, account_id, key):
            return  # what was stored before needs no room again; that it is that file, its bytes will say
        room.check_room(conn, account_id, size_bytes)
