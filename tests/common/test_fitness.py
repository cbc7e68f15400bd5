"""What a deployment refuses to start with: all of it at once, and without the secrets."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from common.fitness import DEVELOPMENT_SECRET, faults, hosts_of
from common.settings import Settings
from models.catalogue.providers import ProviderEntry
from tests.common.test_hosts import METADATA
from tests.support import OWN_SECRET

ROOT = Path(__file__).resolve().parents[2]
FIT = {
    "ENVIRONMENT": "production",
    "SECRET_KEY": OWN_SECRET,
    "DATABASE_URL": "postgresql://headrace:5d0b7c@db.example.com/headrace",
    "REDIS_URL": "redis://:5d0b7c@redis.example.com/0",
    "S3_ENDPOINT_URL": "http://s3.example.com:8333",
    "S3_ACCESS_KEY_ID": "key",
    "S3_SECRET_ACCESS_KEY": "5d0b7c",
    "PUBLIC_URL": "https://api.example.com",
    "SMTP_URL": "smtp+starttls://user:5d0b7c@mail.example.com:587",
    "CALLBACK_URL": "https://callbacks.example.com",
    "API_HOST": "0.0.0.0",
}


def refusal(monkeypatch: pytest.MonkeyPatch, **changes: str) -> str:
    """What is said against a deployment that would be fit without these changes; nothing if it starts."""
    for name, value in (FIT | changes).items():
        monkeypatch.setenv(name, value)
    try:
        Settings(_env_file=None)
    except ValueError as error:
        return str(error)
    return ""


def test_a_deployment_as_it_should_be_starts_and_shows_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    assert refusal(monkeypatch) == ""
    shown = repr(Settings(_env_file=None))
    assert "5d0b7c" not in shown
    assert OWN_SECRET not in shown


@pytest.mark.parametrize("secret", [
    DEVELOPMENT_SECRET, "", "short", "x" * 40, "x" * 39 + "y", "ab" * 20, "abc123" * 8, "s3cret" * 8, "change-me" * 5,
    "CHANGE_ME_" * 4, "please-change-this-key-3f9a1c7be", "password" * 5, "P@ssw0rd" * 5, "0123456789" * 4, "deadbeef" * 5,
    "abcdefghijklmnopqrstuvwxyz0123456", "zyxwvutsrqponmlkjihgfedcba987654", "qwertyuiopasdfghjklzxcvbnm123456",
    " " * 40, "-" * 40, "a1b2c3d4" * 5, "12345678901234567890123456789012", "my-super-secret-key-for-headrace-1",
])  # fmt: skip
def test_a_secret_that_can_be_guessed_is_refused_in_production_and_wherever_others_reach(
    monkeypatch: pytest.MonkeyPatch, secret: str
) -> None:
    said = refusal(monkeypatch, SECRET_KEY=secret)
    assert "SECRET_KEY must be at least 32 characters of your own" in said
    assert not secret.strip(" -") or secret not in said
    here = {"ENVIRONMENT": "development", "SECRET_KEY": secret, "PUBLIC_URL": "http://127.0.0.1:8000"}
    assert refusal(monkeypatch, **here, API_HOST="127.0.0.1") == ""


@pytest.mark.parametrize("environment", ["development", "test"])
@pytest.mark.parametrize(("name", "value"), [
    ("API_HOST", "0.0.0.0"), ("API_HOST", "::"), ("API_HOST", "0"), ("API_HOST", "10.0.0.5"), ("API_HOST", "api"),
    ("PUBLIC_URL", "https://api.example.com"), ("PUBLIC_URL", "http://10.0.0.5:8000"), ("PUBLIC_URL", "http://api:8000"),
])  # fmt: skip
def test_the_default_secret_stays_on_this_machine_whatever_the_environment(
    monkeypatch: pytest.MonkeyPatch, environment: str, name: str, value: str
) -> None:
    here = {"API_HOST": "127.0.0.1", "PUBLIC_URL": "http://localhost:8000", "ENVIRONMENT": environment}
    assert refusal(monkeypatch, **here, SECRET_KEY=DEVELOPMENT_SECRET) == ""
    said = refusal(monkeypatch, **{**here, name: value}, SECRET_KEY=DEVELOPMENT_SECRET)
    assert f"because {name}" in said
    assert refusal(monkeypatch, **{**here, name: value}) == ""


PASSWORDS = {
    "DATABASE_URL": ("postgresql://headrace:{}@db.example.com/headrace", "postgresql://127.0.0.1/headrace?password={}",
                     "host=db.example.com user=headrace password='{}'", "postgres://headrace:{}@a,b/headrace"),
    "DATABASE_REPLICA_URL": ("postgresql://headrace:{}@replica.example.com/headrace",),
    "REDIS_URL": ("redis://:{}@redis.example.com/0", "rediss://user:{}@127.0.0.1", "unix://:{}@/run/redis.sock",
                  "redis+sentinel://:{}@one,two/main/0", "redis+sentinel://:5d0b7c@one,two/main/0?sentinel_password={}"),
    "BROKER_URL": ("amqps://headrace:{}@rabbit.example.com/ours", "amqp://headrace:{}@127.0.0.1"),
    "SMTP_URL": ("smtps://user:{}@mail.example.com", "smtp+starttls://user:{}@127.0.0.1"),
    "S3_SECRET_ACCESS_KEY": ("{}",),
}  # fmt: skip


@pytest.mark.parametrize("password", [
    "change-me", "CHANGE-ME", "changeme", "change_me_1", "aaaaaaaa", "a", "1111", "----", "password", "postgres", "secret",
    "minioadmin", "replace-me", "12345678",
])  # fmt: skip
@pytest.mark.parametrize(("name", "pattern"), [(name, each) for name, found in PASSWORDS.items() for each in found])
def test_no_placeholder_is_a_password(monkeypatch: pytest.MonkeyPatch, name: str, pattern: str, password: str) -> None:
    said = refusal(monkeypatch, **{name: pattern.format(password)})
    assert name in said
    assert "placeholder" in said
    assert len(password) < 5 or password == "password" or password not in said


@pytest.mark.parametrize(("name", "value"), [
    ("DATABASE_URL", "postgresql://headrace@db.example.com/headrace"), ("DATABASE_URL", "postgresql://headrace:@db/headrace"),
    ("DATABASE_URL", "host=db.example.com user=headrace password=''"), ("DATABASE_URL", "postgresql://a:@127.0.0.1,db/x"),
    ("DATABASE_REPLICA_URL", "postgresql://headrace@replica.example.com/headrace"),
    ("REDIS_URL", "redis://redis.example.com"), ("REDIS_URL", "redis://:@redis.example.com/0"),
    ("REDIS_URL", "rediss://user:@redis.example.com/0"), ("REDIS_URL", "redis+sentinel://one,two/main/0"),
    ("BROKER_URL", "amqp://rabbit.example.com"), ("BROKER_URL", "amqps://headrace:@127.0.0.1,rabbit.example.com/ours"),
    ("SMTP_URL", "smtps://user@mail.example.com"), ("SMTP_URL", "smtps://user:@mail.example.com"),
])  # fmt: skip
def test_a_server_elsewhere_has_a_password(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    assert f"{name} must have a password" in refusal(monkeypatch, **{name: value})


@pytest.mark.parametrize(("changes", "said"), [
    ({"PUBLIC_URL": "https://"}, "PUBLIC_URL"), ({"PUBLIC_URL": "https:///v1"}, "PUBLIC_URL"),
    ({"PUBLIC_URL": "api.example.com"}, "PUBLIC_URL"), ({"PUBLIC_URL": "https://:8000"}, "PUBLIC_URL"),
    ({"PUBLIC_URL": "http://api.example.com"}, "PUBLIC_URL must begin with https://"),
    ({"CALLBACK_URL": "http://callbacks.example.com"}, "CALLBACK_URL must begin with https://"),
    ({"CALLBACK_URL": "HTTP://callbacks.example.com"}, "CALLBACK_URL must begin with https://"),
    ({"CALLBACK_URL": "callbacks.example.com"}, "CALLBACK_URL"), ({"CALLBACK_URL": "https://"}, "CALLBACK_URL"),
    ({"SMTP_URL": "smtp://user:5d0b7c@mail.example.com"}, "SMTP_URL must be smtp+starttls:// or smtps://"),
    ({"SMTP_URL": "smtp://user@mail.example.com"}, "SMTP_URL must be smtp+starttls:// or smtps://"),
    ({"OIDC_ISSUERS": "http://a.example"}, "OIDC_ISSUERS must be https"),
    ({"OIDC_ISSUERS": "https://a.example", "OIDC_JWKS_URLS": "https://a.example=http://k.example"}, "OIDC_JWKS_URLS"),
    ({"CORS_ORIGINS": "*"}, "CORS_ORIGINS"), ({"CLOCK_OFFSET_SECONDS": "1"}, "CLOCK_OFFSET_SECONDS"),
    ({"CLERK_WEBHOOK_SECRET": "whsec_" + "A" * 32}, "CLERK_WEBHOOK_SECRET"),
    ({"PROVISIONING_ADMIN_TOKEN": "short"}, "PROVISIONING_ADMIN_TOKEN"),
    ({"PROVISIONING_ADMIN_TOKEN": "change-me" * 5}, "PROVISIONING_ADMIN_TOKEN"),
    ({"PROVISIONING_ADMIN_TOKEN": OWN_SECRET + ",short"}, "PROVISIONING_ADMIN_TOKEN"),
])  # fmt: skip
def test_what_others_could_listen_to_is_refused(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, str], said: str
) -> None:
    found = refusal(monkeypatch, **changes)
    assert said in found
    assert "5d0b7c" not in found


def test_plain_ways_within_this_machine_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    near = {"PUBLIC_URL": "http://127.0.0.1:8000", "CALLBACK_URL": "http://localhost:8000"}
    assert refusal(monkeypatch, **near, SMTP_URL="smtp://user:5d0b7c@127.0.0.1", REDIS_URL="redis://127.0.0.1") == ""


def test_all_faults_are_said_at_once_and_no_secret_with_them(monkeypatch: pytest.MonkeyPatch) -> None:
    said = refusal(
        monkeypatch, SECRET_KEY="a" * 40, DATABASE_URL="postgresql://x:change-me@db/x", REDIS_URL="redis://r/0",
        SMTP_URL="smtp://user:5d0b7c@mail.example.com", CORS_ORIGINS="*", CALLBACK_URL="http://c.example.com",
        S3_ENDPOINT_URL="http://169.254.169.254", ALLOW_PRIVATE_ADDRESSES="127.1:80",
    )  # fmt: skip
    for name in ("SECRET_KEY", "DATABASE_URL", "REDIS_URL", "SMTP_URL", "CORS_ORIGINS", "CALLBACK_URL", "S3_ENDPOINT_URL",
                 "ALLOW_PRIVATE_ADDRESSES"):  # fmt: skip
        assert f"{name} must" in said
    assert not any(secret in said for secret in ("aaaa", "change-me", "5d0b7c"))


def leading_to(name: str, host: str) -> str:
    """A value of a setting that leads to a host."""
    authority = f"[{host}]" if ":" in host and not host.startswith("[") else host
    return {
        "DATABASE_URL": f"postgresql://headrace:5d0b7c@{authority}/headrace",
        "DATABASE_REPLICA_URL": f"postgresql://headrace:5d0b7c@{authority}/headrace",
        "REDIS_URL": f"redis://:5d0b7c@{authority}:6379/0",
        "BROKER_URL": f"amqps://headrace:5d0b7c@{authority}:5671/ours",
        "SMTP_URL": f"smtps://user:5d0b7c@{authority}",
        "OIDC_JWKS_URLS": f"https://a.example=https://{authority}/keys",
    }.get(name, f"https://{authority}")


def values_of(changes: Mapping[str, str]) -> dict[str, Any]:
    """The settings of the fit deployment with changes, without the time that reading an environment takes."""
    found = {name: field.default for name, field in Settings.model_fields.items()}
    found |= {name.lower(): value for name, value in (FIT | changes).items()}
    if isinstance(found["allow_private_addresses"], str):
        found["allow_private_addresses"] = found["allow_private_addresses"].split(",")
    return found


@pytest.mark.parametrize("host", [host for host in METADATA if " " not in host and "%" not in host])
def test_no_setting_leads_to_where_a_cloud_keeps_its_secrets(host: str) -> None:
    assert faults(values_of({})) == []
    for name in map(str.upper, hosts_of(values_of({}))):
        said = faults(values_of({name: leading_to(name, host)}))
        assert [each for each in said if each.startswith(f"{name} must not lead")], said
    said = faults(values_of({"ALLOW_PRIVATE_ADDRESSES": f"{host}:80"}))
    assert [each for each in said if each.startswith("ALLOW_PRIVATE_ADDRESSES")], said


def test_a_process_that_would_go_there_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in map(str.upper, hosts_of(values_of({}))):
        with monkeypatch.context() as changed:
            issuer = {"OIDC_ISSUERS": "https://a.example"} if name == "OIDC_JWKS_URLS" else {}
            assert f"{name} must not lead" in refusal(changed, **issuer, **{name: leading_to(name, "0xa9fea9fe")})


def test_every_setting_that_leads_somewhere_is_looked_at() -> None:
    values = {field: getattr(Settings(), field) for field in Settings.model_fields}
    addresses = {name for name in values if re.search(r"(url|urls|issuers?|hosts?|endpoint)$", name)}
    # Where one listens, and where people read.
    assert addresses == set(hosts_of(values)) | {"api_host", "metrics_host", "content_url"}


def test_every_setting_that_is_a_secret_is_hidden() -> None:
    hidden = {
        name for name, field in Settings.model_fields.items() if not field.repr or "SecretStr" in str(field.annotation)
    }
    named = {
        name
        for name in Settings.model_fields
        if re.search(r"secret|password|token$|(database|replica|redis|broker|smtp)_url$", name)
    }
    assert named <= hidden, named - hidden


def test_the_example_environment_is_refused_until_its_placeholders_are_replaced() -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()
    given = dict(line.split("=", 1) for line in lines if re.match(r"^[A-Z]", line))
    values = {name: field.default for name, field in Settings.model_fields.items()}
    values |= {name.lower(): value for name, value in given.items()}
    values["s3_secret_access_key"] = SecretStr(given["S3_SECRET_ACCESS_KEY"])
    said = " ".join(faults(values))
    for name in ("SECRET_KEY", "DATABASE_URL", "REDIS_URL", "S3_SECRET_ACCESS_KEY"):
        assert name in said


@pytest.mark.parametrize("host", ["169.254.169.254", "0xa9fea9fe", "[::ffff:a9fe:a9fe]", "metadata.google.internal"])
def test_no_provider_is_where_a_cloud_keeps_its_secrets(host: str) -> None:
    ProviderEntry(name="own", adapter="openai", base_url="http://10.0.0.5:8000/v1")
    with pytest.raises(ValueError, match="a cloud keeps"):
        ProviderEntry(name="own", adapter="openai", base_url=f"http://{host}/v1")


def test_whoever_looks_from_another_machine_shows_who_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    there = {"METRICS_PORT": "9100", "METRICS_HOST": "0.0.0.0"}
    assert "METRICS_TOKEN must be set" in refusal(monkeypatch, **there)
    assert "METRICS_TOKEN must be at least 32" in refusal(monkeypatch, **there, METRICS_TOKEN="short")
    assert "METRICS_TOKEN must be at least 32" in refusal(monkeypatch, **there, METRICS_TOKEN=f"{OWN_SECRET}, short")
    assert refusal(monkeypatch, **there, METRICS_TOKEN=OWN_SECRET) == ""
    monkeypatch.delenv("METRICS_TOKEN")
    assert refusal(monkeypatch, METRICS_PORT="9100", METRICS_HOST="127.0.0.1") == ""
