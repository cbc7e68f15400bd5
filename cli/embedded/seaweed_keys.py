"""What closes SeaweedFS's inner ports to everybody else: a certificate and keys of its own.

Its parts speak to each other over gRPC and HTTP on loopback or in a container network, where whoever reaches a port may
list, change and delete every object. So gRPC is mutual TLS, and the master's and the admin's HTTP as well (the master
hands out tokens for any object, and deletes a whole bucket for who asks); the volume server and the filer want tokens
over HTTP, which now only these parts can get. All parts are one process: one certificate signs itself and is the one
that is trusted, so there is no authority whose key could make another.

Usage, as docker-compose.yml does: python -m cli.embedded.seaweed_keys FOLDER
"""

import hashlib
import hmac
import json
import sys
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from cli.embedded.locked import private_folder, read_private, write_private

GRPC_PARTS = ("master", "volume", "filer", "s3", "admin", "worker", "client", "msg_broker", "msg_agent", "mq")
HTTPS_PARTS = ("master", "admin")
TOKENS = ("jwt.signing", "jwt.signing.read", "jwt.filer_signing", "jwt.filer_signing.read")
# Fixed, so that a clock that is wrong at the first start, or jumps later, locks nobody out.
VALID_FROM, VALID_UNTIL = datetime(2000, 1, 1, tzinfo=UTC), datetime(2120, 1, 1, tzinfo=UTC)


def protect(folder: Path) -> None:
    """Write `security.toml` into a folder, which SeaweedFS reads where it is its working directory or /etc/seaweedfs.

    What is there stays: a running server goes on with it.
    """
    private_folder(folder)
    pem = folder / "peer.pem"
    content = read_private(pem, _certificate)
    write_private(folder / "security.toml", _configuration(pem.resolve(), content.encode()))


def _configuration(pem: Path, content: bytes) -> str:
    """The same text for the same certificate: tokens' keys follow from its private key."""
    file = json.dumps(str(pem), ensure_ascii=False)  # a TOML string looks like one of JSON
    tables = {"grpc": {"ca": file}}
    tables |= {f"grpc.{part}": {"cert": file, "key": file} for part in GRPC_PARTS}
    tables |= {f"https.{part}": {"cert": file, "key": file, "ca": file} for part in HTTPS_PARTS}
    for name in TOKENS:
        tables[name] = {"key": json.dumps(hmac.new(content, name.encode(), hashlib.sha256).hexdigest())}
    return "".join(
        f"[{table}]\n" + "".join(f"{name} = {value}\n" for name, value in values.items())
        for table, values in tables.items()
    )


def _certificate() -> str:
    """A certificate and its private key, in one file: what is written in one go cannot be cut in two."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "headrace embedded s3")])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), VALID_FROM, VALID_UNTIL)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return (made.public_bytes(serialization.Encoding.PEM) + private).decode()


if __name__ == "__main__":
    protect(Path(sys.argv[1]))
