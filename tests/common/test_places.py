"""Each address of a setting is read once, in any usual spelling, and refused without being quoted."""

import psycopg
import pytest

from common import places
from common.foreign import drop
from common.places import (
    UnreadablePlace,
    broker_place,
    database_is_here,
    database_parameters,
    mail_server,
    redis_place,
    session_settings,
    web_address,
)

SECRET = "hunter2hunter2"


def test_the_parameters_of_a_database_are_those_of_its_client_library() -> None:
    assert {each.keyword.decode() for each in psycopg.pq.Conninfo.get_defaults()} == places.DATABASE_PARAMETERS


@pytest.mark.parametrize(("address", "found"), [
    ("postgres://u:p@h:1/d", {"user": "u", "password": "p", "host": "h", "port": "1", "dbname": "d"}),
    ("postgresql+psycopg://u:p@h/d", {"user": "u", "password": "p", "host": "h", "dbname": "d"}),
    ("postgresql+psycopg2://h", {"host": "h"}),
    ("PostgreSQL+asyncpg://h/d", {"host": "h", "dbname": "d"}),
    ("postgresql://u:%40%3A%2F%3F%23%25+@h/d%20d", {"user": "u", "password": "@:/?#%+", "host": "h", "dbname": "d d"}),
    ("postgresql://u:a@b@h/d", {"user": "u", "password": "a@b", "host": "h", "dbname": "d"}),
    ("postgresql://u@[::1]:5/d", {"user": "u", "host": "::1", "port": "5", "dbname": "d"}),
    ("postgresql://a:1,b:2,[fe80::1]:3/d", {"host": "a,b,fe80::1", "port": "1,2,3", "dbname": "d"}),
    ("postgresql://a,b:2/d", {"host": "a,b", "port": ",2", "dbname": "d"}),
    ("postgresql:///d?host=/var/run/postgresql&port=6", {"host": "/var/run/postgresql", "port": "6", "dbname": "d"}),
    ("postgresql://u@%2Fvar%2Frun/d", {"user": "u", "host": "/var/run", "dbname": "d"}),
    ("postgresql:///d?host=a:1&host=b:2", {"host": "a,b", "port": "1,2", "dbname": "d"}),
    ("postgresql://h/d?sslmode=verify-full&sslrootcert=/x%20y&target_session_attrs=read-write",
     {"host": "h", "dbname": "d", "sslmode": "verify-full", "sslrootcert": "/x y", "target_session_attrs": "read-write"}),
    ("postgresql://h/d?options=-c%20search_path%3Dapp", {"host": "h", "dbname": "d", "options": "-c search_path=app"}),
    ("postgresql://h/d?search_path=a, b", {"host": "h", "dbname": "d", "options": "-c search_path=a,\\ b"}),
    ("  host=h  dbname = d password='a b\\'c' ", {"host": "h", "dbname": "d", "password": "a b'c"}),
    ("host=/tmp user=u password=a\\ b", {"host": "/tmp", "user": "u", "password": "a b"}),
    ("service=ours", {"service": "ours"}),
])  # fmt: skip
def test_a_database_is_read_in_any_usual_spelling(address: str, found: dict[str, str]) -> None:
    assert database_parameters(address) == found
    assert psycopg.conninfo.make_conninfo(**found)


DATABASES = [
    "mysql://u:{}@h/d", "{}", "u:{}@h/d", "postgresql:/u:{}@h/d", "postgresql://u:{}/x@h/d", "postgresql://u:{}@h:x/d",
    "postgresql://u:{}@h:0/d", "postgresql://u:{}@h:99999/d", "postgresql://u:{}@[::1/d", "postgresql://u:{}@::1:5/d",
    "postgresql://u:{}@h/d?sslmode=on", "postgresql://u:{}@h/d?schema=x&pgbouncer=true", "postgresql://u:{}@h/d?{}",
    "postgresql://u:{}@h/d?{}=1", "postgresql://a:1,b:2,c:{}/d", "postgresql://u:{}@h/d?options=-x",
    "postgresql://u:{}@h/d?options={}", "postgresql://a:1,b,c/d?port=1,2&password={}", "host=h password='{}",
    "host=h password={} junk", "host=h passwort={}", "postgresql://u:{}%00@h/d", "sqlite:///{}", "http://u:{}@h",
]  # fmt: skip
REDIS = [
    "{}", "http://:{}@h", "redis:/:{}@h", "redis://:{}@h:x", "redis://:{}@h:0/0", "redis://:{}/x@h/0", "redis://:{}#x@h/0",
    "redis://:{}@h/zero", "redis://:{}@h?timeout=5", "redis://:{}@h?{}=1", "redis://:{}@", "redis://:{}@[::1/0",
    "redis://:{}@::1/0", "redis://:{}@a,b/0", "redis+sentinel://:{}@a:1,b:2", "redis+sentinel://:{}@/service/0",
    "redis+sentinel://:{}@a:x/service", "rediss+sentinel://:{}@a/service/{}", "amqp://u:{}@h",
]  # fmt: skip
BROKERS = [
    "{}", "http://u:{}@h", "amqp:/u:{}@h", "amqp://u:{}@h:x", "amqp://u:{}@h:0/v", "amqp://u:{}/x@h/v", "amqp://u:{}#x@h/v",
    "amqp://u:{}@h/a/b", "amqp://u:{}@h?heartbeat=5", "amqp://u:{}@h?{}=1", "amqp://u:{}@", "amqp://u:{}@[::1/v",
    "amqp://u:{}@::1/v", "amqp://u:{}@a,,b/v", "redis://:{}@h",
]  # fmt: skip
WEB = [
    "{}", "s3.example.com", "ftp://{}.example.com", "http://", "https://u:{}@h", "http://[::1", "http://h:x{}",
    "https://h/?key={}", "https://h/#{}", "https:///{}", "http://h h/{}", "http://h:0/{}", "file:///{}", "http:\\\\{}",
]  # fmt: skip
MAIL = [
    "{}",
    "mail.example.com",
    "http://u:{}@h",
    "smtp://",
    "smtp://u:{}@",
    "smtps://u:{}@h:x",
    "smtp+tls://u:{}@h:25",
]


@pytest.mark.parametrize("address", DATABASES)
def test_a_database_that_cannot_be_read_is_refused_without_its_password(address: str) -> None:
    _refused("DATABASE_URL", database_parameters, address)


@pytest.mark.parametrize("address", REDIS)
def test_a_redis_that_cannot_be_read_is_refused_without_its_password(address: str) -> None:
    _refused("REDIS_URL", redis_place, address)


@pytest.mark.parametrize("address", BROKERS)
def test_a_rabbitmq_that_cannot_be_read_is_refused_without_its_password(address: str) -> None:
    _refused("BROKER_URL", broker_place, address)


@pytest.mark.parametrize(("address", "found"), [
    ("amqp://h", ((("h", 5672),), "/", None, None, False, {})),
    ("AMQPS://u:p@h/", ((("h", 5671),), "/", "u", "p", True, {})),
    ("amqp://u:%40%2F%3A@[::1]:1,b/%2Fours?ssl_ca_certs=/x%20y",
     ((("::1", 1), ("b", 5672)), "/ours", "u", "@/:", False, {"ssl_ca_certs": "/x y"})),
])  # fmt: skip
def test_a_rabbitmq_is_read_as_its_clients_read_it(address: str, found: tuple[object, ...]) -> None:
    assert broker_place(address) == found


@pytest.mark.parametrize("address", WEB)
def test_a_url_that_is_none_is_refused_without_its_secret(address: str) -> None:
    _refused("S3_ENDPOINT_URL", lambda text: web_address("S3_ENDPOINT_URL", text), address)


@pytest.mark.parametrize("address", MAIL)
def test_a_mail_server_that_is_none_is_refused_without_its_password(address: str) -> None:
    _refused("SMTP_URL", mail_server, address)


def _refused(name: str, read: object, address: str) -> None:
    assert callable(read)
    with pytest.raises(UnreadablePlace) as caught:
        read(address.replace("{}", SECRET))
    told = str(caught.value)
    assert told.startswith(name)
    assert SECRET not in told, told
    assert "\n" not in told


def test_options_are_read_as_libpq_does() -> None:
    found = session_settings(r"-c search_path=app,\ public --work-mem=5MB -cTimeZone=UTC -c x.y=a\\b")
    assert found == {"search_path": "app, public", "work_mem": "5MB", "TimeZone": "UTC", "x.y": "a\\b"}


@pytest.mark.parametrize(("address", "here"), [
    ("postgresql:///d", True), ("postgresql:///d?host=/tmp", True), ("host=@abstract", True), ("postgresql://[::1]/d", True),
    ("postgresql://localhost,127.0.0.1/d", True), ("postgresql://localhost,db/d", False), ("postgresql://db/d", False),
    ("host=/tmp,db", False), ("postgresql://localhost/d?hostaddr=10.0.0.1", False), ("service=x", False),
])  # fmt: skip
def test_a_database_is_here_only_if_it_is_nowhere_else(address: str, here: bool) -> None:
    assert database_is_here(database_parameters(address)) is here


def test_a_redis_is_read_in_any_usual_spelling() -> None:
    plain = redis_place("redis://u:p%40%2F%3A@[::1]:7/3")
    assert (plain.username, plain.password, plain.host, plain.port, plain.db, plain.tls) == (
        "u",
        "p@/:",
        "::1",
        7,
        3,
        False,
    )
    tls = redis_place("rediss://:p@h?ssl_ca_certs=/x&db=2")
    assert (tls.tls, tls.port, tls.db, tls.options) == (True, 6379, 2, {"ssl_ca_certs": "/x"})
    assert redis_place("valkeys://h").tls
    assert redis_place("unix:///run/redis.sock?db=1")[2:4] == ("/run/redis.sock", 1)
    for scheme in ("redis+sentinel", "redis-sentinel", "sentinel", "valkey+sentinel"):
        watched = redis_place(f"{scheme}://u:p@a:1,[::1],b/ours/4?sentinel_password=q")
        assert watched.sentinels is not None
        assert watched.sentinels.hosts == (("a", 1), ("::1", 26379), ("b", 26379))
        assert (watched.sentinels.service, watched.sentinels.password, watched.password, watched.db) == (
            "ours",
            "q",
            "p",
            4,
        )
        assert not watched.is_here
    assert redis_place("rediss+sentinel://a/ours").tls


def test_variables_of_other_programs_are_dropped_and_ours_are_not() -> None:
    theirs = ["PGHOST", "PGSERVICE", "PGOPTIONS", "AWS_ENDPOINT_URL", "AWS_CA_BUNDLE", "HTTP_PROXY", "https_proxy", "No_Proxy",
              "REQUESTS_CA_BUNDLE"]  # fmt: skip
    role = ["AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_CONFIG_FILE", "AWS_WEB_IDENTITY_TOKEN_FILE"]
    ours = ["DATABASE_URL", "S3_BUCKET", "PATH", "SSL_CERT_FILE", "OPENAI_API_KEY", "HOME"]
    environment = dict.fromkeys([*theirs, *role, *ours], "x")
    assert set(drop(environment, role=True)) == set(theirs)
    assert set(drop(environment, role=False)) == set(role)
    assert set(environment) == set(ours)
