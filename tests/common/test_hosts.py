"""What a host is, however it is written."""

import pytest

from common.hosts import is_loopback, is_metadata, is_this_machine

METADATA = [
    "169.254.169.254", "169.254.169.254.", "169.254.170.2", "169.254.0.23", "2852039166", "0xA9FEA9FE", "0xa9fea9fe",
    "025177524776", "0251.0376.0251.0376", "0xa9.0xfe.0xa9.0xfe", "169.254.43518", "169.16689662", "0xa9.254.0251.254",
    "::ffff:169.254.169.254", "::ffff:a9fe:a9fe", "[::ffff:169.254.169.254]", "0:0:0:0:0:ffff:a9fe:a9fe",
    "::a9fe:a9fe", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1", "fe80::5efe:a9fe:a9fe", "fe80::1%eth0", "fe80::a9fe:a9fe",
    "fd00:ec2::254", "fd00:0ec2:0:0:0:0:0:254", "FD00:EC2::23", "fd20:ce::254", "100.100.100.200", "0x64.0x64.0x64.0xc8",
    "1684301000", "168.63.129.16", "192.0.0.192", "metadata.google.internal", "METADATA.GOOGLE.INTERNAL.", "metadata",
    "metadata.goog", "instance-data", "instance-data.ec2.internal", "metadata.tencentyun.com",
    "１６９.２５４.１６９.２５４", "169。254。169。254", "169%2e254%2e169%2e254", " 169.254.169.254 ",
    "169.254.169.254.nip.io", "169-254-169-254.sslip.io", "x.169-254-169-254.sslip.io", "a9fea9fe.nip.io",
]  # fmt: skip
NOT_METADATA = [
    "", "s3", "s3.amazonaws.com", "10.0.0.5", "169.253.169.254", "93.184.216.34", "127.0.0.1", "::1", "fd00::254",
    "minio", "metadata.example.com", "1.2.3.4.nip.io", "deadbeef.example.com", "ec2.internal", "100.100.100.201",
    "my-metadata", "2001:db8::1", "cafe", "face.example", "10-0-0-5.local.example",
]  # fmt: skip
LOOPBACK = ["127.0.0.1", "127.8.9.1", "127.1", "2130706433", "0x7f.1", "017700000001", "::1", "[::1]", "localhost",
            "LOCALHOST.", "ip6-localhost", "::ffff:127.0.0.1", "１２７.0.0.1"]  # fmt: skip
OPEN = ["0.0.0.0", "::", "0", "10.0.0.5", "api", "api.example.com", "", "localhost.example.com", "128.0.0.1", "*"]


@pytest.mark.parametrize("host", METADATA)
def test_where_a_cloud_keeps_secrets_is_known_in_every_spelling(host: str) -> None:
    assert is_metadata(host)


@pytest.mark.parametrize("host", NOT_METADATA)
def test_other_hosts_are_not_taken_for_it(host: str) -> None:
    assert not is_metadata(host)


@pytest.mark.parametrize("host", LOOPBACK)
def test_loopback_is_known_in_every_spelling(host: str) -> None:
    assert is_loopback(host)
    assert is_this_machine(host)


@pytest.mark.parametrize("host", OPEN)
def test_what_others_reach_is_not_loopback(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "0", "0x0", "app.localhost", "::ffff:0.0.0.0"])
def test_everywhere_leads_to_this_machine_too(host: str) -> None:
    assert is_this_machine(host)
