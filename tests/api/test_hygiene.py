"""What browsers are told, which pages may call, and that no secret is written into a log."""

from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from starlette.testclient import TestClient

from api.edge.request_limits import security_headers
from api.main import make_app
from common.settings import settings
from models.access import api_keys
from models.catalogue import provider_keys, providers
from models.catalogue.providers import ProviderEntry
from models.db import transaction
from tests.collectors import collector
from tests.conftest import environment
from tests.support import System, account, ended, key_of, model

pytestmark = [
    pytest.mark.usefixtures("database"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


def test_every_answer_carries_the_headers_errors_included(database: str) -> None:
    with TestClient(make_app(), raise_server_exceptions=False) as http:
        for path in ("/v1/models", "/v1/credits", "/v1/nothing", "/api/account/getOrCreate", "/healthz", "/files/none"):
            found = http.get(path).headers
            assert found["x-content-type-options"] == "nosniff"
            assert found["x-frame-options"] == "DENY"
            assert "default-src 'none'" in found["content-security-policy"]
            assert found.get("cache-control") == ("no-store" if path.startswith(("/v1/", "/api/", "/files/")) else None)
    assert (b"strict-transport-security", b"max-age=31536000") in security_headers("/v1/jobs", https=True)
    assert not any(name == b"strict-transport-security" for name, _ in security_headers("/v1/jobs", https=False))


def test_headers_have_a_limit(database: str) -> None:
    with TestClient(make_app(), raise_server_exceptions=False) as http:
        refused = http.get("/v1/models", headers={"x-long": "y" * 40_000})
        assert (refused.status_code, refused.json()["code"]) == (431, "headers_too_large")
        assert http.get("/v1/models", headers={"x-long": "y" * 20_000}).status_code == 200


def test_only_named_origins_may_call_from_a_browser(database: str) -> None:
    ask = {"access-control-request-method": "POST", "access-control-request-headers": "authorization"}
    with environment({"CORS_ORIGINS": "https://app.example.com"}), TestClient(make_app()) as http:
        good = http.options("/v1/jobs", headers={"origin": "https://app.example.com", **ask})
        assert good.headers["access-control-allow-origin"] == "https://app.example.com"
        bad = http.options("/v1/jobs", headers={"origin": "https://evil.example.com", **ask})
        assert "access-control-allow-origin" not in bad.headers
    with TestClient(make_app()) as http:
        none = http.get("/v1/models", headers={"origin": "https://app.example.com"})
        assert "access-control-allow-origin" not in none.headers


def test_no_secret_is_in_any_log(system: System) -> None:
    who = account(amount=5)
    model("m")
    with transaction() as conn:
        providers.apply(conn, [ProviderEntry(name="router", adapter="openai", base_url="http://127.0.0.1:1/v1")])
        provider_keys.save(conn, who, "router", SecretStr("sk-a-users-own-secret"))
    key = key_of(who)
    bogus = api_keys.make_secret()
    system.start("api", "worker", "scheduler")
    with system.client(who) as http:
        http.headers["authorization"] = f"Bearer {key}"
        made = http.post("/v1/keys", json={"name": "another"}).json()
        ended(http, http.post("/v1/jobs", json={"model": "m", "input": {}}).json()["id"])
        http.put("/v1/provider-keys/router", json={"key": "sk-set-over-http-secret"})
        http.get(f"/v1/credits?key={key}", headers={"authorization": f"Bearer {bogus}"})
        http.post("/v1/jobs", content=b"{" + key.encode())
    system.stop()
    text = "".join(path.read_text(errors="replace") for path in system.processes.logs.glob("*.log"))
    assert "Uvicorn running" in text
    secrets: list[Any] = [
        key, made["secret"], bogus, "sk-a-users-own-secret", "sk-set-over-http-secret",
        settings().secret_key.get_secret_value(),
        settings().database_url.split("@")[0].rpartition(":")[2], settings().redis_url.split("@")[0].rpartition(":")[2],
        settings().s3_secret_access_key and settings().s3_secret_access_key.get_secret_value(),
    ]  # fmt: skip
    assert all(len(each) >= 16 for each in secrets)
    assert [each for each in secrets if each in text] == []


def test_the_framework_tells_nobody_of_requests_besides_us(system: System) -> None:
    """Its telemetry says addresses, queries and errors as they are, and is begun by variables that a system may have for others."""
    with collector() as found:
        asked = {"FASTAPI_OTEL_AUTO_CONFIGURE": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": found.url, "TRACE_SHARE": "1"}
        system.start("api", api=asked)
        with httpx.Client(base_url=system.url) as http:
            assert http.get("/v1/models", params={"q": "marked"}).status_code == 422
        system.stop()  # what waits is sent
    assert [each.name for each in found.spans] == ["request"]
    assert found.paths == {"/v1/traces"}
    assert "marked" not in str(found.spans)
