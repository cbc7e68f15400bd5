"""A certificate that is not trusted is told in one sentence; nothing else is taken for one."""

import pytest

from cli.doctor.trust import distrust

SAID = {
    "database": 'connection failed: connection to server at "10.0.0.5", port 5432 failed: SSL error: certificate verify failed',
    "replica": 'server certificate for "db-2" does not match host name "localhost"',
    "redis": "Error 1 connecting to r:6379. [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate",
    "storage": "putting: error sending request: client error (Connect): invalid peer certificate: UnknownIssuer",
}


@pytest.mark.parametrize("check", sorted(SAID))
def test_a_server_that_is_not_trusted_is_named_with_the_setting_of_its_authority(check: str) -> None:
    cause = ValueError(SAID[check])
    error = RuntimeError("it does not answer\nat all")
    error.__cause__ = cause
    said = distrust(check, error)
    assert said is not None
    assert said.count("SSL_CERT_FILE") == 1
    assert "\n" not in said
    assert said == distrust(check, cause)


@pytest.mark.parametrize(("check", "said"), [
    ("database", "connection refused"), ("redis", "NOAUTH Authentication required."), ("duties", SAID["redis"]),
    ("redis", "[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)"), ("storage", "403 Forbidden"),
])  # fmt: skip
def test_another_trouble_is_none_of_trust(check: str, said: str) -> None:
    assert distrust(check, RuntimeError(said)) is None
