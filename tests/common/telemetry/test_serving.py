"""The port for who watches: a token where one is set, health that says what is wrong, patience with a port that is taken."""

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

import httpx
import pytest

from cli.embedded.servers import free_ports
from common.telemetry import figures, serving
from common.telemetry.health import Dependency, Health
from common.telemetry.serving import PARTS, Watched, port_of
from tests.collectors import samples, total
from tests.support import eventually, status


@contextmanager
def watched(*tokens: str, health: Health | None = None, port: int | None = None) -> Iterator[str]:
    """One that serves; its address."""
    place = "127.0.0.1", port or free_ports(1)[0]
    made = Watched(place, tokens, health)
    url = f"http://{place[0]}:{place[1]}"
    eventually(lambda: _is_there(url))
    try:
        yield url
    finally:
        made.stop()


def _is_there(url: str) -> bool:
    try:
        return status(f"{url}/healthz", seconds=5) == 200
    except OSError:
        return False


def test_figures_of_the_process_are_served() -> None:
    with watched() as url:
        figures.ORDERED.add("quick")
        answer = httpx.get(f"{url}/metrics")
        assert answer.headers["content-type"].startswith("text/plain")
        found = samples(answer.text)
        assert total(found, "headrace_jobs_ordered_total", model="quick") == 1
        assert total(found, "process_cpu_seconds_total") > 0
        assert httpx.get(f"{url}/nothing").status_code == 404
        assert httpx.post(f"{url}/metrics").status_code == 501
    figures.ORDERED.add("quick")  # nobody looks any more
    assert not figures.is_on()


@pytest.mark.parametrize(
    "given", ["", "Bearer", "Bearer x", "Bearer old", "Basic new-token", "new-token", "Bearer new-token2", "bearer"]
)
def test_where_a_token_is_set_it_is_needed_for_figures_alone(given: str) -> None:
    with watched("old-token", "new-token") as url:
        refused = httpx.get(f"{url}/metrics", headers={"authorization": given})
        assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
        assert "headrace" not in refused.text
        for token in ("old-token", "new-token"):
            assert httpx.get(f"{url}/metrics", headers={"authorization": f"Bearer {token}"}).status_code == 200
        assert httpx.get(f"{url}/healthz").status_code == 200


def test_readiness_names_what_is_away() -> None:
    def fails() -> None:
        raise ConnectionError("cannot reach redis://:marked@10.0.0.5:6379")

    health = Health(Dependency("database", lambda: None, needed=True), Dependency("redis", fails, needed=True))
    with watched(health=health) as url:
        answer = httpx.get(f"{url}/readyz")
        assert (answer.status_code, answer.json()["status"]) == (503, "unavailable")
        assert answer.json()["dependencies"]["database"] == {"status": "ok", "needed": True}
        assert answer.json()["dependencies"]["redis"]["status"] == "away"
        assert "marked" not in answer.text
        assert "10.0.0.5" not in answer.text
        found = samples(httpx.get(f"{url}/metrics").text)
        assert total(found, "headrace_dependency_up", dependency="database") == 1
        assert total(found, "headrace_dependency_up", dependency="redis") == 0


def test_a_port_that_another_has_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that ends takes minutes, and the next one works meanwhile."""
    monkeypatch.setattr(serving, "TAKEN_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        made = Watched(("127.0.0.1", port), (), None)
    eventually(lambda: _is_there(f"http://127.0.0.1:{port}"))
    made.stop()


def test_who_never_gets_the_port_ends_all_the_same() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        made = Watched(("127.0.0.1", taken.getsockname()[1]), (), None)
        made.stop()
        assert "watched" not in {thread.name for thread in threading.enumerate()}


def test_who_says_nothing_keeps_nobody_from_looking(monkeypatch: pytest.MonkeyPatch) -> None:
    """So many connections are open at once; those that say nothing are closed, and others are served again."""
    monkeypatch.setattr(serving._Handler, "timeout", 0.5)
    with watched() as url:
        place = ("127.0.0.1", int(url.rpartition(":")[2]))
        silent = [socket.create_connection(place) for _ in range(serving.AT_ONCE + 2)]
        for each in silent[serving.AT_ONCE :]:
            with closing(each):
                assert each.recv(1) == b"", "turned away"
        for each in silent[: serving.AT_ONCE]:
            with closing(each):
                assert each.recv(1) == b"", "closed, since nothing came"
        eventually(lambda: _is_there(url))


def test_each_kind_of_process_has_a_port_of_its_own() -> None:
    assert len({port_of(each, 9100) for each in PARTS}) == len(PARTS) == 4
    assert port_of("api", 9100) == 9100
