"""Stripe's own package, at the one function by which it sends: its network is not httpcore."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import stripe
from stripe import _http_client

from tests.sweep.boundary import Boundary
from tests.sweep.hooks_web import ASK, ID, STATUS


@contextmanager
def hooked(boundary: Boundary) -> Iterator[None]:
    """Watch for the time of the block. The package's own pauses before it asks again are left out."""
    send = stripe.RequestsClient.request

    def watched(self: Any, method: str, url: str, headers: Any, post_data: Any = None) -> Any:
        if boundary.process is None:
            return send(self, method, url, headers, post_data)
        path = ID.sub("*", url.partition("/v1/")[2].partition("?")[0])
        way = boundary.cross("web", f"stripe {method.upper()} {path}", ASK)
        match way:
            case None:
                return send(self, method, url, headers, post_data)
            case "refused" | "limited":
                return b'{"error": {"message": "swept", "type": "api_error"}}', STATUS[way], {"retry-after": "0"}
            case "kill":
                raise boundary.killed(_gone("killed"))
            case "lost" | "cut":
                send(self, method, url, headers, post_data)
        raise _gone("the connection broke")

    with (
        patch.object(stripe.RequestsClient, "request", watched),
        patch.object(_http_client.HTTPClient, "_sleep_time_seconds", lambda *_, **__: 0.0),
    ):
        yield


def _gone(why: str) -> Exception:
    return stripe.APIConnectionError(why, should_retry=False)
