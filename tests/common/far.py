"""A far side: a real HTTP server on loopback that answers just the bytes it is told to, wrong ones included."""

import contextlib
import datetime as dt
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Handler = Callable[["Far", str, Callable[[bytes], None]], None]  # the path asked for, and what sends


class Far:
    """`heads` has every request's head as it came."""

    def __init__(self, answer: Handler, tls: ssl.SSLContext | None = None) -> None:
        self._answer, self._tls = answer, tls
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.heads: list[str] = []
        self.bodies: list[bytes] = []
        self.sent = 0
        self.closing = threading.Event()
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def place(self) -> str:
        return f"127.0.0.1:{self.port}"

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                conn, _ = self._listening.accept()
                threading.Thread(target=self._talk, args=(conn,), daemon=True).start()

    def _talk(self, conn: socket.socket) -> None:
        conn.settimeout(20)
        with contextlib.suppress(OSError):
            if self._tls:
                conn = self._tls.wrap_socket(conn, server_side=True)
        with contextlib.suppress(OSError), conn as talking:
            data = b""
            while b"\r\n\r\n" not in data and (more := talking.recv(65536)):
                data += more
            head, end, body = data.partition(b"\r\n\r\n")
            if not end:  # whoever called has gone before it had asked
                return
            self.heads.append(head.decode())
            length = next((int(x[15:]) for x in head.lower().split(b"\r\n") if x.startswith(b"content-length:")), 0)
            while len(body) < length:
                body += talking.recv(65536)
            self.bodies.append(body)

            def send(part: bytes) -> None:
                talking.sendall(part)
                self.sent += len(part)

            self._answer(self, head.decode().split(" ")[1], send)

    def stop(self) -> None:
        self.closing.set()
        self._listening.close()


@contextlib.contextmanager
def far(answer: Handler | bytes, tls: ssl.SSLContext | None = None) -> Iterator[Far]:
    """A server for the time of a block; bytes are its answer to everything."""
    handler: Handler = (lambda _far, _path, send: send(answer)) if isinstance(answer, bytes) else answer
    server = Far(handler, tls)
    try:
        yield server
    finally:
        server.stop()


def ok(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """A whole answer."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def moved(place: str, status: str = "302 Found") -> bytes:
    """A redirect."""
    return ok(b"", f"Location: {place}", status=status)


def dripping(head: bytes, drop: bytes, every: float) -> Handler:
    """Sends a drop now and then, for ever."""

    def answer(server: Far, _path: str, send: Callable[[bytes], None]) -> None:
        send(head)
        end = time.monotonic() + 20
        while not server.closing.wait(every) and time.monotonic() < end:
            send(drop)

    return answer


def certificate(folder: Path, name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """TLS for a server called `name`, and for a client that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = folder / "cert.pem"
    pem.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + made.public_bytes(serialization.Encoding.PEM)
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pem)
    return server, ssl.create_default_context(cafile=str(pem))
