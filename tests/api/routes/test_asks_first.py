"""Who asks is found out before a body is read: on every route of the document, over a real socket."""

import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from api.main import OPEN_ROUTES
from cli.embedded.processes import Processes
from cli.embedded.servers import Addresses, free_ports
from models.access import api_keys
from models.db import transaction
from tests import documents
from tests.conftest import environment, fresh_database
from tests.forks import Forked
from tests.support import System, account

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

WRITING = {"post", "put", "patch", "delete"}
ROUTES = sorted(
    (method, path)
    for path, methods in documents.openapi()["paths"].items()
    for method in methods
    if path not in OPEN_ROUTES or method in WRITING
)
ID = "01a1fd03-f4e4-7365-bf9d-4827335166ca"
GIGABYTE = 10**9
KINDS = ("application/json", "multipart/form-data; boundary=x", "application/octet-stream")


@pytest.fixture(scope="module")
def url(stack: Addresses, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One API process for all of them."""
    port = free_ports(1)[0]
    folder: Path = tmp_path_factory.mktemp("asks-first")
    values = {
        "API_PORT": str(port), "PUBLIC_URL": f"http://127.0.0.1:{port}", "FAILED_AUTH_PER_MINUTE": "1000000",
        "CLERK_WEBHOOK_SECRET": "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", "OIDC_ISSUERS": "https://clerk.example",
    }  # fmt: skip
    with fresh_database(stack), environment(values):
        system = System(
            f"http://127.0.0.1:{port}", folder / "book.db", Processes(folder / "state", values, popen=Forked)
        )
        try:
            system.start("api")
            yield system.url
        finally:
            system.stop()


def asked(url: str, method: str, path: str, headers: dict[str, str], seconds: float = 5.0) -> tuple[int, float]:
    """The status of an answer to headers alone: of the body that they promise not one byte is sent."""
    host, _, port = url.removeprefix("http://").partition(":")
    lines = [f"{method.upper()} {path} HTTP/1.1", f"host: {host}", *(f"{k}: {v}" for k, v in headers.items()), "", ""]
    begun = time.monotonic()
    with socket.create_connection((host, int(port)), timeout=seconds) as connection:
        connection.sendall("\r\n".join(lines).encode())
        head = b""
        while b"\r\n" not in head:
            part = connection.recv(4096)
            assert part, "closed without an answer"
            head += part
    return int(head.split(b" ")[1]), time.monotonic() - begun


def filled(path: str) -> str:
    return "/".join(ID if part.startswith("{") else part for part in path.split("/"))


WAYS = {
    "a gigabyte announced": {"content-length": str(GIGABYTE)},
    "as much as is allowed": {"content-length": "1000000"},
    "without a length": {"transfer-encoding": "chunked"},
}
WHO = {
    "nobody": {},
    "no key": {"authorization": "Bearer nonsense"},
    "a forged token": {"authorization": "Bearer a.b.c"},
}


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("way", WAYS)
def test_no_route_waits_for_the_body_of_somebody_without_a_key(url: str, way: str, who: str) -> None:
    def refused(route: tuple[str, str]) -> tuple[str, str, str, int]:
        method, path = route
        found = [
            (kind, asked(url, method, filled(path), {**WAYS[way], **WHO[who], "content-type": kind})[0])
            for kind in KINDS
        ]
        return (method, path, *next((each for each in found if not 400 <= each[1] < 500), found[0]))

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(refused, ROUTES))
    assert len(answers) > 40
    assert [each for each in answers if not 400 <= each[3] < 500] == []
    guarded = {each[3] for each in answers if each[1] not in OPEN_ROUTES}
    assert guarded <= ({401, 413} if way == "a gigabyte announced" else {401}), answers


def test_a_key_that_may_not_is_refused_before_its_body_as_well(url: str) -> None:
    with transaction() as conn:
        secret = api_keys.create(conn, account(), api_keys.NewKey("reads", scopes=["read"]))[1]
    head = {"authorization": f"Bearer {secret}", "transfer-encoding": "chunked", "content-type": "application/json"}
    needs = {
        (method, path): operation["x-scope"]
        for path, methods in documents.openapi()["paths"].items()
        for method, operation in methods.items()
        if "x-scope" in operation and operation["x-scope"] != "read"
    }
    answers = {route: asked(url, route[0], filled(route[1]), head)[0] for route in needs}
    assert len(answers) > 20
    assert set(answers.values()) == {403}, json.dumps({" ".join(k): v for k, v in answers.items()})
