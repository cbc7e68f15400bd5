"""A certificate authority of one's own, and TLS in front of a server that has none."""

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from socket import create_connection, create_server, socket
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class Papers(NamedTuple):
    """Files: what clients trust, and what the server shows."""

    authority: Path
    chain: Path


def papers(folder: Path, name: str = "localhost") -> Papers:
    """A new authority's certificate, and one that it has signed for a name."""
    now = datetime.now(UTC)
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, each)]) for each in ("tests", name)]
    made = []
    for number in range(2):
        builder = (
            x509.CertificateBuilder().subject_name(names[number]).issuer_name(names[0])
            .public_key(keys[number].public_key()).serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=number == 0, path_length=None), critical=True)
        )  # fmt: skip
        if number == 1:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        made.append(builder.sign(keys[0], hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    key = keys[1].private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "authority.pem").write_bytes(made[0])
    (folder / "chain.pem").write_bytes(key + made[1])
    return Papers(folder / "authority.pem", folder / "chain.pem")


@contextmanager
def tls(port: int, chain: Path) -> Iterator[int]:
    """The server at this port of this machine, behind TLS at another, for the time of a block."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    with create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            with suppress(OSError):
                while True:
                    near, _ = listener.accept()
                    threading.Thread(target=carry, args=(near,), daemon=True).start()

        def carry(plain: socket) -> None:
            with suppress(OSError):
                near = context.wrap_socket(plain, server_side=True)
                far = create_connection(("127.0.0.1", port))
                threading.Thread(target=_copy, args=(far, near), daemon=True).start()
                _copy(near, far)

        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]
        with suppress(OSError):
            listener.shutdown(2)


def _copy(source: socket, target: socket) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            target.sendall(data)
    for each in (source, target):
        with suppress(OSError, ValueError):
            each.shutdown(2)  # or the other thread reads on, and whoever is behind it never hears of the end
        with suppress(OSError):
            each.shutdown(2)  # a socket that another thread reads stays open however often it is closed
        with suppress(OSError):
            each.close()
