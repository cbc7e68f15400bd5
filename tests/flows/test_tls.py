"""Everything over TLS, with certificates of an authority of one's own: database, Redis, S3 and the API behind nginx."""

import ssl
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from cli.doctor.checks import examine
from models.schema import prepare
from tests.conftest import environment, new_system
from tests.encrypted import encrypted_postgres, encrypted_redis, encrypted_s3, needs_packages
from tests.fronts import NGINX, front
from tests.support import OWN_SECRET, account, assert_books_are_clean, ended, key_of, model, one
from tests.tls import Papers, papers

SERVERS = ("database", "redis", "storage")
WRONG = {"database": "DATABASE_URL", "redis": "REDIS_URL", "storage": "S3_ENDPOINT_URL"}


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Papers:
    return papers(tmp_path_factory.mktemp("ours"))


@pytest.fixture
def house(ours: Papers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """Settings that lead to three servers which speak nothing but TLS, with their tables."""
    (tmp_path / "redis").mkdir()
    with (
        encrypted_postgres(ours) as database,
        encrypted_redis(ours, tmp_path / "redis") as redis,
        encrypted_s3(ours, tmp_path / "s3", monkeypatch) as bucket,
    ):
        given = {
            **bucket, "DATABASE_URL": database, "REDIS_URL": redis, "SSL_CERT_FILE": str(ours.authority),
            "SECRET_KEY": OWN_SECRET, "ENVIRONMENT": "test", "SKETCH_BOOK": str(tmp_path / "sketch.db"),
        }  # fmt: skip
        with environment(given):
            prepare.prepare()
            yield given


@needs_packages
@pytest.mark.skipif(NGINX is None, reason="nginx is not installed (make tools)")
def test_a_job_is_ordered_made_and_fetched_where_everything_speaks_tls(
    house: dict[str, str], ours: Papers, tmp_path: Path
) -> None:
    with new_system(tmp_path / "sketch.db", tmp_path / "state") as system:
        api_port = int(system.url.rpartition(":")[2])
        with front("nginx", api_port, tmp_path / "front", chain=ours.chain) as port:
            outside = f"https://localhost:{port}"
            model("quick", price={"unit": "job", "credits": 1})
            who = account(amount=5)
            with environment({"TRUSTED_PROXIES": "127.0.0.1", "PUBLIC_URL": outside}):
                system.start("worker", "scheduler", "deliver")
                system.start("api", api={"PUBLIC_URL": outside})
                trusting = ssl.create_default_context(cafile=ours.authority)
                headers = {"authorization": f"Bearer {key_of(who)}"}
                with httpx.Client(base_url=outside, headers=headers, timeout=30, verify=trusting) as http:
                    made = http.post("/v1/jobs", json={"model": "quick", "input": {}}, headers={"prefer": "wait=30"})
                    assert made.status_code == 201, made.text
                    done = ended(http, made.json()["id"])
                    assert done["status"] == "succeeded"
                    address = done["outputs"][0]["url"]
                    assert address.startswith(outside)
                    assert http.get(address, follow_redirects=True).content.startswith(b"\x89PNG")
                open_ways = "select count(*), bool_and(ssl) from pg_stat_activity join pg_stat_ssl using (pid) where application_name = 'headrace'"
                ways, by_tls = one(open_ways)
                assert (ways > 3, by_tls) == (True, True)
                found = {each["check"]: each for each in examine()}
                assert [found[name] for name in SERVERS if not found[name]["ok"]] == []
                system.stop()
    assert_books_are_clean()


@needs_packages
def test_a_server_whose_authority_is_not_trusted_is_refused_in_one_sentence(
    house: dict[str, str], ours: Papers, tmp_path: Path
) -> None:
    other = papers(tmp_path)
    wrong = {name: value.replace(str(ours.authority), str(other.authority)) for name, value in house.items()}
    told_of = dict[str, str]()
    for name in SERVERS:
        given = {**house, "SSL_CERT_FILE": str((ours if name == "database" else other).authority)}
        given[WRONG[name]] = wrong[WRONG[name]]
        with environment(given):
            found = {each["check"]: each for each in examine()}
        assert not found[name]["ok"], name
        assert found["redis" if name == "database" else "database"]["ok"]
        told_of[name] = found[name]["says"]
    print(told_of)
    for name, said in told_of.items():
        assert said.startswith(f"the certificate of {WRONG[name]}'s server is not trusted here: name the authority"), (
            said
        )
        assert "SSL_CERT_FILE" in said
        assert "\n" not in said
