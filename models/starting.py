"""What keeps a process from starting is said in one sentence, on standard error, without a trace and without a secret. What a
process says of itself while it runs begins and ends here.
"""

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from common import logs
from common.errors import DatabaseAway, DomainError
from common.settings import Settings, WrongSettings, settings
from common.telemetry import figures, serving, traces
from common.telemetry.health import Health
from common.telemetry.serving import ProcessKind, Watched
from models import db

log = logging.getLogger(__name__)


def run(
    name: str,
    serve: Callable[[], None],
    *,
    part: ProcessKind,
    waits: bool = True,
    health: Callable[[], Health] | None = None,
) -> None:
    """Read the settings, then serve. Exits with 1 and a sentence where that cannot be.

    `waits`: a database that is away is told of, and waited for; otherwise it ends the process, whose supervisor starts
    it again. `health`: what `/readyz` of its own port looks at.
    """
    logs.install()
    try:
        logs.install(form=form_of(settings()))
        try:
            db.reach()
        except DatabaseAway as error:
            if not waits:
                raise
            log.error("%s waits: %s", name, error)  # noqa: TRY400 - expected, and it says why
        with watched(part, health):
            serve()
    except (WrongSettings, DomainError) as error:
        sys.exit(f"{name} cannot start: {error}")


def form_of(config: Settings) -> logs.Form:
    """How lines of the log look: machines read those of production."""
    if config.log_format == "auto":
        return "json" if config.environment == "production" else "text"
    return config.log_format


@contextmanager
def watched(part: ProcessKind, health: Callable[[], Health] | None = None) -> Iterator[None]:
    """For the block, figures are served and traces sent, if somebody wants them."""
    config = settings()
    if config.otel_exporter_otlp_endpoint is not None:
        given = config.otel_exporter_otlp_headers
        headers = given.get_secret_value() if given is not None else None
        traces.begin(part, endpoint=config.otel_exporter_otlp_endpoint, headers=headers, share=config.trace_share)
    try:
        with _served(part, health):
            yield
    finally:
        traces.end()


@contextmanager
def _served(part: ProcessKind, health: Callable[[], Health] | None) -> Iterator[None]:
    config = settings()
    if config.metrics_port is None:
        yield
        return
    place = config.metrics_host, serving.port_of(part, config.metrics_port)
    serves = Watched(place, config.metrics_tokens(), health() if health is not None else None)
    figures.POOL.read_by(lambda: _pool("pool_size", "pool_available", "requests_waiting"))
    figures.POOL_WAITS.read_by(lambda: [((), float(db.pool_stats().get("requests_queued", 0)))])
    figures.POOL_WAITED.read_by(lambda: [((), db.pool_stats().get("requests_wait_ms", 0) / 1000)])
    try:
        yield
    finally:
        serves.stop()


def _pool(*names: str) -> figures.Readings:
    found = db.pool_stats()
    return [((name.removeprefix("pool_").removeprefix("requests_"),), float(found.get(name, 0))) for name in names]
