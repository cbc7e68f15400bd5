"""`client.files`: files to jobs, and results from them."""

import asyncio
import re
from pathlib import Path
from typing import Any

import httpx

from headrace_client import models
from headrace_client._async.routes.files import AsyncFilesRoutes
from headrace_client._calls import Call
from headrace_client._landing import Landing
from headrace_client._retries import Tries
from headrace_client._uploads import Source, Uploadable, files_in, with_names
from headrace_client.errors import ConnectionFailed, Refused, refusal

Downloadable = models.Output | models.File | str


class AsyncFiles(AsyncFilesRoutes):
    """Files: inputs of jobs on their way up, results on their way down."""

    async def upload(
        self, file: Uploadable, *, name: str | None = None, idempotency_key: str | None = None
    ) -> models.File:
        """Upload a file, to be an input of jobs. `POST /v1/files`.

        It is read while it is sent, so it may be large.

            photo = await client.files.upload("photo.jpg")
            job = await client.jobs.run("editor", prompt="make it blue", image_url=photo.id)

        Args:
            file: A path, bytes, or a file that is open for reading bytes.
            name: What it is called; it decides nothing.
            idempotency_key: Made by itself, and kept over retries.
        """
        call = Call("POST", "/v1/files", upload=Source(file, name), once=True, key=idempotency_key)
        return await self._sender.ask(call, models.File)

    async def replace_in(self, values: Any) -> Any:
        """An input whose files are uploaded, at whatever depth, with their ids in their places."""
        ids = [(await self.upload(file)).id for file in files_in(values)]
        return with_names(values, iter(ids)) if ids else values

    async def read(self, what: Downloadable) -> bytes:
        """Download a result, or any file's address, into memory. `GET /files/{token}`.

        picture = await client.files.read(job.outputs[0])
        """
        return await self._fetch(what, Landing(None))

    async def download(self, what: Downloadable, to: str | Path) -> Path:
        """Download a result, or any file's address, to a path. `GET /files/{token}`.

        Its bytes are checked by their SHA-256, and lie in `NAME.part` until all of them are there. What breaks off goes on
        where it stopped, also in another run of your program.

            await client.files.download(job.outputs[0], "harbour.png")
        """
        path = Path(to)
        await self._fetch(what, Landing(path))
        return path

    async def _fetch(self, what: Downloadable, landing: Landing) -> bytes:
        url = httpx.URL(self._sender.base_url).join(what if isinstance(what, str) else what.url)
        sha256 = None if isinstance(what, str) else what.sha256
        try:
            known = await self._fill(url, landing)
            sha256 = sha256 or known
            if landing.was_begun and not landing.is_right(sha256):  # what an earlier run left there was something else
                landing.begin_anew()
                await self._fill(url, landing)
            landing.finish(sha256)
            return landing.content()
        finally:
            landing.close()

    async def _fill(self, url: httpx.URL, landing: Landing) -> str | None:
        """Fetch what is not there yet. Returns the checksum that the server names, if it does."""
        tries = Tries(self._sender.limits.patience)
        known: str | None = None
        while True:
            wanted = None
            # The address is the secret, and may be a CDN's: the key does not go along.
            headers = {"Accept-Encoding": "identity"}
            if landing.size:
                headers["Range"] = f"bytes={landing.size}-"
            try:
                async with self._sender.http.stream("GET", url, headers=headers) as response:
                    known = known or _checksum(response)
                    await _take(response, landing, tries)
                    return known
            except httpx.TransportError as error:
                why: Exception = ConnectionFailed(f"the download breaks off: {type(error).__name__}: {error}")
            except Refused as refused:
                if refused.status not in {429, 502, 503, 504}:
                    raise
                why, wanted = refused, refused.retry_after
            pause = tries.pause(wanted)
            if pause is None:
                raise why
            await asyncio.sleep(pause)


async def _take(response: httpx.Response, landing: Landing, tries: Tries) -> None:
    if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE and landing.size:
        return  # all of it is there
    if response.is_error:
        await response.aread()
        raise refusal(response)
    if response.status_code != httpx.codes.PARTIAL_CONTENT and landing.size:
        landing.begin_anew()
    async for chunk in response.aiter_bytes():
        tries.forget()
        landing.write(chunk)


def _checksum(response: httpx.Response) -> str | None:
    """The server's own tag of a whole file is its SHA-256."""
    found = re.fullmatch(r'"([0-9a-f]{64})"', response.headers.get("etag", ""))
    return found.group(1) if found else None
