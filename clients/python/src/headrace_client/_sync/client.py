"""The client itself."""

from types import TracebackType

import httpx

from headrace_client._limits import Limits
from headrace_client._settings import TIMEOUT, base_url_of, headers_of, key_of
from headrace_client._sync.batches import Batches
from headrace_client._sync.events import Events
from headrace_client._sync.files import Files
from headrace_client._sync.jobs import Jobs
from headrace_client._sync.routes import Parts
from headrace_client._sync.sending import Sender

CONNECTIONS = httpx.Limits(max_connections=100, max_keepalive_connections=20)


class Headrace(Parts):
    """A client of Headrace.

        from headrace_client import Headrace

        with Headrace() as client:
            job = client.jobs.run("sketch-image", prompt="a harbour at dawn")
            picture = job.image()

    `client.jobs`, `client.files`, `client.credits` … are the parts of the API; `help(client.jobs.run)` shows how one is used.
    Requests that fail for now are sent again, and never do twice what they do.
    """

    def __init__(
        self,
        api_key: str | None = None,
        base_url: str | None = None,
        *,
        patience_seconds: float = 60.0,
        silence_seconds: float = 40.0,
        streams_at_once: int = 32,
        http_client: httpx.Client | None = None,
    ) -> None:
        """Make a client; it connects when it is first used.

        Args:
            api_key: A key, or a user's JWT; without it, HEADRACE_API_KEY.
            base_url: Where the API is; without it, HEADRACE_URL, or http://127.0.0.1:8000.
            patience_seconds: How long what fails for now (a connection, 429, 503) is tried again.
            silence_seconds: A stream on which nothing came for so long is opened anew.
            streams_at_once: At most so many waits listen at once; others ask now and then.
            http_client: Your own, with its own proxies, certificates and limits; you close it.
        """
        address = base_url_of(base_url)
        own = http_client or httpx.Client(timeout=TIMEOUT, limits=CONNECTIONS)
        limits = Limits(patience_seconds, silence_seconds, streams_at_once)
        self._owns = http_client is None
        self._begin(Sender(own, address, headers_of(key_of(api_key)), limits))

    def _begin(self, sender: Sender) -> None:
        super().__init__(sender)
        self._sender = sender
        self.files = Files(sender)
        self.jobs = Jobs(sender, self.files)
        self.batches = Batches(sender)
        self.events = Events(sender)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(base_url={self._sender.base_url!r})"  # never the key

    def acting_for(self, account: str, *, create: bool = False) -> "Headrace":
        """The same client, acting for a user's account. The key must be one that may (`act`).

            theirs = client.acting_for("clerk:user_1", create=True)
            job = theirs.jobs.run("sketch-image", prompt="a lake")

        Args:
            account: An account's id, `clerk:USER` (any issuer's short name), or `email:ADDRESS`.
            create: Open an account for who has none.
        """
        headers = {"Headrace-Account": account, **({"Headrace-Create": "true"} if create else {})}
        other = type(self).__new__(type(self))
        other._owns = False  # noqa: SLF001 - one of our own class
        other._begin(  # noqa: SLF001 - the same
            self._sender.speaking_for(headers)
        )
        return other

    def close(self) -> None:
        """Close the connections; a client of httpx that was given stays open."""
        if self._owns:
            self._sender.http.close()

    def __enter__(self) -> "Headrace":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
