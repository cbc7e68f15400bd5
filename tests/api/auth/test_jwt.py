"""JWTs of an issuer: what is accepted, and that each way of forging one is refused."""

import asyncio
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding
from starlette.requests import Request
from starlette.testclient import TestClient

from api.auth import jwks
from api.auth.jwt import sign_in
from api.auth.keyring import KeyRing
from api.main import make_app
from cli.embedded.processes import Processes
from cli.embedded.servers import free_ports
from common.guard import AddressRefused
from common.settings import Settings
from models import db
from models.access import api_keys
from models.db import transaction
from models.identity.people import Identity
from tests.api.auth.issuer import Issuer, b64, ec_key, public_jwk, rsa_key
from tests.common.far import far, ok
from tests.conftest import environment
from tests.forks import Forked
from tests.support import OWN_SECRET, System, account, assert_books_are_clean, key_of, one, rows

pytestmark = [
    # Starlette's test client still uses what AnyIO and httpx are about to rename.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with Issuer() as found:
        yield found


@pytest.fixture
def http(database: str, issuer: Issuer) -> Iterator[TestClient]:
    with environment({"OIDC_ISSUERS": issuer.url, "KEY_CACHE_SECONDS": "0", "FAILED_AUTH_PER_MINUTE": "100000"}):
        with TestClient(make_app(), raise_server_exceptions=False) as client:
            yield client


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys may be fetched again at once."""
    monkeypatch.setattr(jwks, "REFRESH_SECONDS", 0.0)
    monkeypatch.setattr(jwks, "COLD_SECONDS", 0.0)


def ask(http: TestClient, token: str) -> httpx.Response:
    return http.get("/v1/credits", headers={"authorization": f"Bearer {token}"})


def status(http: TestClient, token: str) -> int:
    return ask(http, token).status_code


@pytest.mark.parametrize(("said", "kept"), [(True, "a@example.com"), (False, None), ("false", None)])
def test_an_address_that_the_issuer_has_not_verified_is_none(http, issuer, said: object, kept: str | None) -> None:
    assert status(http, issuer.token("user_a", email="a@example.com", email_verified=said)) == 200
    assert one("select email from users") == (kept,)


def test_a_first_token_opens_an_account_with_the_default_plan_and_its_credits_and_the_next_finds_it(
    http, issuer
) -> None:
    answer = ask(http, issuer.token("user_a", email="a@example.com"))
    assert (answer.status_code, answer.json()["available"]) == (200, 10)
    assert status(http, issuer.token("user_a", iat=int(time.time()) - 5)) == 200
    assert one("select issuer, subject, email, role from users") == (issuer.url, "user_a", "a@example.com", "user")
    assert one("select plan_id, available from accounts") == ("free", 10)
    assert rows("select kind, ref, amount from grants") == [("signup", "signup", 10)]
    assert_books_are_clean()


def test_es256_is_accepted_and_a_job_can_be_ordered_without_a_key(http, issuer) -> None:
    head = {"authorization": f"Bearer {issuer.token(kid='curve')}"}
    answer = http.post("/v1/jobs", json={"model": "sketch-image", "input": {"prompt": "x"}}, headers=head)
    assert answer.status_code == 201, answer.text
    assert one("select api_key_id from jobs") == (None,)


def test_a_role_of_admin_gives_the_scope_and_no_other_does(http, issuer) -> None:
    async def caller():
        ring = KeyRing()
        try:
            head = [(b"authorization", f"Bearer {issuer.token()}".encode())]
            return await ring.caller(Request({"type": "http", "headers": head}))
        finally:
            await ring.close()

    found = asyncio.run(caller())
    assert (found.key_id, found.role) == (None, "user")
    assert "admin" not in found.scopes
    with transaction() as conn:
        conn.execute("update users set role = 'admin'")
    found = asyncio.run(caller())
    assert (found.role, "admin" in found.scopes) == ("admin", True)


def test_an_api_key_goes_on_working_beside_tokens(http) -> None:
    assert status(http, key_of(account(amount=3))) == 200


@pytest.mark.parametrize(("changes", "says"), [
    ({"exp": -31}, "expired"),
    ({"exp": None}, "exp"),
    ({"exp": "soon"}, "refused"),
    ({"exp": float("inf")}, "refused"),
    ({"nbf": 45}, "not yet valid"),
    ({"iat": 45}, "not yet valid"),
    ({"iat": None}, "iat"),
    ({"sub": None}, "sub"),
    ({"sub": ""}, "subject"),
    ({"sub": "x" * 256}, "subject"),
    ({"sub": "nul\x00"}, "subject"),
    ({"sub": "half \ud800"}, "subject"),
    ({"sub": 5}, "ubject"),
    ({"iss": "https://other.example"}, "issuer"),
    ({"iss": None}, "issuer"),
    ({"iss": ["x"]}, "issuer"),
    ({"aud": "somebody"}, "udience"),
    ({"sts": "pending"}, "sts"),
    ({"sts": "something else"}, "sts"),
    ({"sts": ["pending"]}, "sts"),
])  # fmt: skip
def test_a_token_whose_claims_do_not_fit_is_refused(http, issuer, changes, says) -> None:
    now = int(time.time())
    moved = {
        name: now + value if isinstance(value, int) and name in {"exp", "nbf", "iat"} else value
        for name, value in changes.items()
    }
    head = {"alg": "RS256", "kid": "one", "typ": "JWT"}
    text = issuer.signing_input(head, **moved)
    token = f"{text}.{b64(rsa_key(1).sign(text.encode(), padding.PKCS1v15(), hashes.SHA256()))}"
    answer = ask(http, token)
    assert answer.status_code == 401, answer.text
    assert says in answer.json()["detail"]
    assert rows("select 1 from users") == []


def test_a_session_that_is_active_is_signed_in_and_one_that_is_pending_again_is_not(http, issuer) -> None:
    assert status(http, issuer.token(sts="active")) == 200
    assert status(http, issuer.token(sts="pending")) == 401


@pytest.mark.parametrize("changes", [{"exp": -20}, {"nbf": 20}, {"iat": 20}])
def test_clocks_may_differ_by_half_a_minute(http, issuer, changes) -> None:
    moved = {name: int(time.time()) + value for name, value in changes.items()}
    assert status(http, issuer.token(**moved)) == 200


def forged(issuer: Issuer, how: str) -> str:
    public = rsa_key(1).public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)

    def hmac_with(secret: bytes, algorithm: str = "HS256") -> str:
        text = issuer.signing_input({"alg": algorithm, "kid": "one"})
        return f"{text}.{b64(hmac.digest(secret, text.encode(), hashlib.sha256))}"

    good = issuer.token()
    head, body, signature = good.split(".")
    return {
        "none": lambda: issuer.by_hand({"alg": "none", "kid": "one"}, b""),
        "None": lambda: issuer.by_hand({"alg": "None", "kid": "one"}, b""),
        "no alg": lambda: issuer.by_hand({"kid": "one"}, b"x"),
        "alg is a list": lambda: issuer.by_hand({"alg": ["RS256"], "kid": "one"}, b"x"),
        "HS256 with the public PEM": lambda: hmac_with(pem),
        "HS256 with the JWK": lambda: hmac_with(json.dumps(issuer.published["one"]).encode()),
        "RS256 said, HMAC done": lambda: hmac_with(pem, "RS256"),
        "ES256 said of an RSA key": lambda: issuer.by_hand({"alg": "ES256", "kid": "one"}, b"x" * 64),
        "zero signature of ES256": lambda: issuer.by_hand({"alg": "ES256", "kid": "curve"}, b"\0" * 64),
        "RS512": lambda: issuer.by_hand({"alg": "RS512", "kid": "one"}, b"x" * 256),
        "its own key in the header": lambda: jwt.encode(
            issuer.claims(), rsa_key(9), "RS256",
            {"kid": "one", "jwk": public_jwk("one", rsa_key(9)), "jku": issuer.url + "/keys"},
        ),
        "crit": lambda: issuer.token(head={"crit": ["b64"], "b64": True}),
        "no signature": lambda: f"{head}.{body}.",
        "another body": lambda: f"{head}.{issuer.token('admin').split('.')[1]}.{signature}",
        "cut": lambda: good[:-4],
        "unknown kid": lambda: issuer.token(head={"kid": "nobody"}),
        "no kid": lambda: issuer.by_hand({"alg": "RS256"}, b"x" * 256),
        "kid is a path": lambda: issuer.by_hand({"alg": "RS256", "kid": "../../keys"}, b"x" * 256),
        "too long": lambda: issuer.token(padding="x" * 9000),
        "dots": lambda: "..",
        "nonsense": lambda: "a.b.c",
        "deep": lambda: f"{b64(b'[' * 3000)}.{b64(b'[' * 3000)}.x",
        "not text": lambda: f"{b64(bytes([0xff, 0xfe]))}.{body}.{signature}",
        "header is a list": lambda: f"{b64(b'[]')}.{body}.{signature}",
    }[how]()  # fmt: skip


FORGERIES = [
    "none", "None", "no alg", "alg is a list", "HS256 with the public PEM", "HS256 with the JWK", "RS256 said, HMAC done",
    "ES256 said of an RSA key", "zero signature of ES256", "RS512", "its own key in the header", "crit", "no signature",
    "another body", "cut", "unknown kid", "no kid", "kid is a path", "too long", "dots", "nonsense", "deep", "not text",
    "header is a list",
]  # fmt: skip


@pytest.mark.parametrize("how", FORGERIES)
def test_a_forged_token_is_refused_and_makes_nobody(http, issuer, how) -> None:
    answer = ask(http, forged(issuer, how))
    assert answer.status_code == 401, answer.text
    assert answer.headers["www-authenticate"] == "Bearer"
    assert rows("select 1 from users") == []


def test_a_token_by_a_key_that_looks_like_the_issuers_is_refused(http, issuer) -> None:
    issuer.signers["one"] = rsa_key(9)
    assert status(http, issuer.token()) == 401


@pytest.mark.parametrize(("party", "answer"), [("https://app.test", 200), ("https://evil.test", 401), (None, 401)])
def test_only_listed_parties_and_audiences_pass(database, issuer, party, answer) -> None:
    values = {"OIDC_ISSUERS": f"{issuer.url}, https://second.example", "OIDC_AZP": "https://app.test,https://b.test"}
    with environment({**values, "OIDC_AUDIENCE": "mill"}), TestClient(make_app()) as http:
        assert status(http, issuer.token(azp=party, aud=["other", "mill"])) == answer
        assert status(http, issuer.token(azp=party, aud="other")) == 401
        assert status(http, issuer.token(azp=party)) == 401


def test_without_issuers_no_token_is_accepted_and_nobody_is_asked(database, issuer) -> None:
    with TestClient(make_app()) as http:
        assert status(http, issuer.token()) == 401
    assert issuer.calls == []


@pytest.mark.parametrize("state", ["banned", "deleted"])
def test_the_banned_and_the_deleted_are_refused_with_token_and_key(http, issuer, state) -> None:
    token = issuer.token()
    assert status(http, token) == 200
    secret = key_of(one("select id from accounts")[0])
    assert status(http, secret) == 200
    change = "banned = true" if state == "banned" else "deleted_at = app_now()"
    with transaction() as conn:
        conn.execute(f"update users set {change}")
    assert (status(http, token), status(http, secret)) == (401, 401)
    assert state in ask(http, token).json()["detail"]
    with transaction() as conn:
        assert api_keys.callers(conn, [api_keys.hash_of(secret)]) == [None]


# --- keys: rotation, an issuer that is away or wrong ---


def test_a_verified_token_costs_no_second_fetch_and_no_second_check(http, issuer, monkeypatch) -> None:
    token = issuer.token()
    assert status(http, token) == 200
    monkeypatch.setattr(jwt, "decode", None)  # whoever called it now would fail
    assert status(http, token) == 200
    assert len(issuer.calls) == 2  # no discovery document, and the keys


def test_a_remembered_token_is_refused_once_it_has_expired(http, issuer, monkeypatch) -> None:
    monkeypatch.setattr("api.auth.jwt.SKEW_SECONDS", 0)
    token = issuer.token(exp=int(time.time()) + 2)
    assert status(http, token) == 200
    time.sleep(2.1)
    assert "expired" in ask(http, token).json()["detail"]


@pytest.mark.usefixtures("impatient")
def test_a_new_key_is_found_at_its_first_token(http, issuer) -> None:
    assert status(http, issuer.token()) == 200
    issuer.rotate("nothing", "two", rsa_key(2))
    assert status(http, issuer.token(kid="two")) == 200
    assert status(http, issuer.token()) == 200


def test_tokens_of_unknown_keys_cause_one_fetch_in_ten_seconds(http, issuer) -> None:
    assert status(http, issuer.token()) == 200
    issuer.calls.clear()
    assert {status(http, issuer.token(head={"kid": f"guess-{n}"})) for n in range(30)} == {401}
    assert issuer.calls == []  # the first fetch was less than ten seconds ago
    issuer.rotate("nothing", "two", rsa_key(2))
    assert status(http, issuer.token(kid="two")) == 401


def test_a_withdrawn_key_is_refused_as_soon_as_the_keys_are_fetched_again(
    database, issuer, impatient, monkeypatch
) -> None:
    monkeypatch.setattr("api.auth.jwt.REMEMBERED_SECONDS", 0.0)
    with environment({"OIDC_ISSUERS": issuer.url, "OIDC_JWKS_SECONDS": "0.2"}), TestClient(make_app()) as http:
        assert status(http, issuer.token()) == 200
        issuer.rotate("one", "two", rsa_key(2))
        time.sleep(0.5)  # more than twice the age: nobody is let in on keys that may be gone
        assert status(http, issuer.token()) == 401
        assert status(http, issuer.token(kid="two")) == 200


def test_an_issuer_that_is_away_costs_nothing_while_its_keys_are_known(
    database, issuer, impatient, monkeypatch
) -> None:
    monkeypatch.setattr("api.auth.jwt.REMEMBERED_SECONDS", 0.0)
    with environment({"OIDC_ISSUERS": issuer.url, "OIDC_JWKS_SECONDS": "0.1"}), TestClient(make_app()) as http:
        assert status(http, issuer.token()) == 200
        issuer.status = 503
        time.sleep(0.3)
        assert {status(http, issuer.token(f"user_{n}")) for n in range(3)} == {200}
        answer = ask(http, issuer.token(head={"kid": "new"}))
        assert (answer.status_code, answer.json()["retryable"]) == (503, True)


def test_an_issuer_that_was_never_reached_is_503_and_its_users_come_in_once_it_is_back(http, issuer, impatient) -> None:
    issuer.status = 500
    answer = ask(http, issuer.token())
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    issuer.status = 200
    assert status(http, issuer.token()) == 200


def test_a_dead_address_is_503_and_api_keys_do_not_notice(database, issuer) -> None:
    port = free_ports(1)[0]
    with environment({"OIDC_ISSUERS": f"http://127.0.0.1:{port}"}), TestClient(make_app()) as http:
        assert status(http, issuer.token(iss=f"http://127.0.0.1:{port}")) == 503
        assert status(http, key_of(account())) == 200


def test_a_slow_issuer_holds_up_nobody_else(http, issuer) -> None:
    issuer.delay = 1.5
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(status, http, issuer.token())
        time.sleep(0.2)
        assert status(http, key_of(account())) == 200
        assert not slow.done()
        assert slow.result() == 200


@pytest.mark.parametrize("body", [
    b"", b"{", b"[]", b'{"keys": 5}', b'{"keys": [1, {}, {"kty": "RSA", "kid": "one"}]}', b'{"keys": []}', b"x" * 300_000,
    b'{"pad": "' + b"x" * 300_000 + b'"}',
])  # fmt: skip
def test_an_answer_that_holds_no_keys_is_503(http, issuer, body) -> None:
    issuer.body = body
    assert status(http, issuer.token()) == 503


def test_a_redirect_to_other_keys_is_not_followed(http, issuer) -> None:
    issuer.status = 302
    assert status(http, issuer.token()) == 503
    assert "/keys" not in issuer.calls


def test_keys_that_are_too_weak_or_for_something_else_are_no_keys(monkeypatch) -> None:
    secret = {"kty": "oct", "k": b64(b"s" * 32), "kid": "oct", "alg": "HS256"}
    curve = {**public_jwk("p384", ec.generate_private_key(ec.SECP384R1()))}
    given = [
        public_jwk("weak", rsa_key(1, 1024)), public_jwk("enc", rsa_key(1), use="enc"), secret, curve,
        public_jwk("pss", rsa_key(1), alg="PS256"), {**public_jwk("x", rsa_key(1)), "kid": 5},
        public_jwk("good", rsa_key(1), alg="RS256"), public_jwk("curve", ec_key(1)),
    ]  # fmt: skip
    assert {kid: key.algorithm for kid, key in jwks.usable({"keys": given}).items()} == {
        "good": "RS256",
        "curve": "ES256",
    }


def test_the_discovery_document_says_where_the_keys_are_and_must_be_the_issuers(issuer) -> None:
    issuer.discovery = {"issuer": issuer.url, "jwks_uri": f"{issuer.url}/keys"}
    assert set(jwks.fetch(issuer.url, None)) == {"one", "curve"}
    assert issuer.calls[-1] == "/keys"
    issuer.discovery = {"issuer": "https://other.example", "jwks_uri": f"{issuer.url}/keys"}
    with pytest.raises(ValueError, match="another issuer"):
        jwks.fetch(issuer.url, None)
    assert set(jwks.fetch(issuer.url, f"{issuer.url}/keys")) == {"one", "curve"}  # told where, it is not asked


def test_where_a_discovery_document_leads_to_is_not_our_own_network(issuer) -> None:
    """The issuer itself may be there: it is the operator's word."""
    with far(ok(json.dumps({"keys": [public_jwk("inside", rsa_key(1), alg="RS256")]}).encode())) as inside:
        for address in (
            inside.url,
            f"http://localhost:{inside.port}/keys",
            f"http://[::ffff:127.0.0.1]:{inside.port}/",
        ):
            issuer.discovery = {"issuer": issuer.url, "jwks_uri": address}
            with pytest.raises(AddressRefused):
                jwks.fetch(issuer.url, None)
        assert inside.heads == []
        assert set(jwks.fetch(issuer.url, f"{inside.url}/keys")) == {"inside"}  # the operator's word as well


def test_settings_refuse_issuers_that_are_none(monkeypatch) -> None:
    monkeypatch.setenv("OIDC_ISSUERS", "https://a.example,https://b.example/")
    monkeypatch.setenv("OIDC_JWKS_URLS", "https://b.example/=https://keys.example/jwks?a=b")
    found = Settings(_env_file=None)
    assert found.issuers() == ["https://a.example", "https://b.example/"]
    assert found.jwks_urls() == {"https://b.example/": "https://keys.example/jwks?a=b"}
    monkeypatch.setenv("OIDC_ISSUERS", "a.example")
    with pytest.raises(ValueError, match="OIDC_ISSUERS must be a URL"):
        Settings(_env_file=None)
    monkeypatch.setenv("OIDC_ISSUERS", "http://a.example")
    monkeypatch.setenv("OIDC_JWKS_URLS", "")
    monkeypatch.setenv("ENVIRONMENT", "production")
    monkeypatch.setenv("SECRET_KEY", OWN_SECRET)
    with pytest.raises(ValueError, match="must be https"):
        Settings(_env_file=None)


# --- races ---


def test_50_first_requests_at_once_over_two_processes_make_one_user_one_account_and_one_grant(
    system: System, issuer: Issuer, tmp_path: Path
) -> None:
    port = free_ports(1)[0]
    values = {"OIDC_ISSUERS": issuer.url}
    second = System(
        f"http://127.0.0.1:{port}",
        tmp_path / "sketch.db",
        Processes(tmp_path / "second", {"API_PORT": str(port)}, popen=Forked),
    )
    try:
        system.start("api", api=values)
        second.start("api", api={**values, "API_PORT": str(port)})
        gate = threading.Barrier(50)

        def first(number: int) -> tuple[int, int]:
            url = (system, second)[number % 2].url
            with httpx.Client(base_url=url, timeout=30) as client:
                gate.wait()
                head = {"authorization": f"Bearer {issuer.token('new', jti=str(number))}"}
                answer = client.get("/v1/credits", headers=head)
                return answer.status_code, answer.json().get("available", -1)

        with ThreadPoolExecutor(50) as pool:
            answers = list(pool.map(first, range(50)))
    finally:
        second.stop()
    assert set(answers) == {(200, 10)}
    counts = "select (select count(*) from users), (select count(*) from accounts), (select count(*) from grants)"
    assert one(counts) == (1, 1, 1)
    assert one("select count(*) from ledger_entries") == (1,)
    assert_books_are_clean()


def test_20_threads_that_sign_the_same_people_up_make_each_once(database) -> None:
    db.size_pool(24)
    db.close()  # a pool is there already: that of the test before
    try:
        gate = threading.Barrier(20)

        def go(_: int) -> list[object]:
            gate.wait()
            return sign_in([Identity("https://i", f"user_{n % 5}") for n in range(10)])

        with ThreadPoolExecutor(20) as pool:
            answers = list(pool.map(go, range(20)))
    finally:
        db.size_pool(8)
    assert all(answer == answers[0] for answer in answers)
    assert one("select count(*), count(distinct subject) from users") == (5, 5)
    assert one("select count(*), sum(amount)::int from grants where kind = 'signup'") == (5, 50)
    assert_books_are_clean()
