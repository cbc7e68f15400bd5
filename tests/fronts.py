"""nginx and Caddy as `deploy/` shows them, in front of a running API. Only names, ports and certificates are changed."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from cli.embedded.processes import ROOT
from cli.embedded.servers import free_ports

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
CADDY = shutil.which("caddy")
PROGRAMS = {"nginx": NGINX, "caddy": CADDY}


@contextmanager
def front(kind: str, api_port: int, folder: Path, chain: Path | None = None) -> Iterator[int]:
    """A proxy for the time of a block; nginx with this certificate. Yields its port."""
    port = free_ports(1)[0]
    command, extra = _caddy(port, api_port, folder) if kind == "caddy" else _nginx(port, api_port, folder, chain)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{kind}.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **extra}, cwd=folder)
        try:
            _wait(port, process, folder / f"{kind}.log")
            yield port
        finally:
            process.terminate()
            process.wait(timeout=20)


def nginx_text(port: int, api_port: int, folder: Path, chain: Path | None = None) -> str:
    """The example, with its ports and paths changed, and without TLS where there is no certificate. Raises ValueError where that is not found in it."""
    text = (ROOT / "deploy" / "nginx.conf").read_text()
    changes = {
        "listen 443 ssl;": f"listen 127.0.0.1:{port}{' ssl' if chain else ''};",
        "ssl_certificate /etc/ssl/api.example.com.pem;": f"ssl_certificate {chain};" if chain else "",
        "ssl_certificate_key /etc/ssl/api.example.com.key;": f"ssl_certificate_key {chain};" if chain else "",
        "server 127.0.0.1:8000;": f"server 127.0.0.1:{api_port};",
        "access_log off;": f"access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; "
        f"fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;",
    }
    for before, after in changes.items():
        if text.count(before) != 1:
            raise ValueError(f"the example does not say {before!r} once")
        text = text.replace(before, after)
    return (
        f"pid {folder}/nginx.pid;\ndaemon off;\nerror_log stderr;\n"
        + ("user root;\n" if os.getuid() == 0 else "")
        + text
    )


def _nginx(port: int, api_port: int, folder: Path, chain: Path | None) -> tuple[list[str], dict[str, str]]:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "nginx.conf"
    file.write_text(nginx_text(port, api_port, folder, chain))
    return [str(NGINX), "-c", str(file), "-p", str(folder)], {}


def _caddy(port: int, api_port: int, folder: Path) -> tuple[list[str], dict[str, str]]:
    settings = {
        "HEADRACE_SITE": f"http://:{port}", "HEADRACE_API": f"127.0.0.1:{api_port}",
        "HOME": str(folder), "XDG_DATA_HOME": str(folder / "data"), "XDG_CONFIG_HOME": str(folder / "config"),
    }  # fmt: skip
    file = ROOT / "deploy" / "Caddyfile"
    return [str(CADDY), "run", "--adapter", "caddyfile", "--config", str(file)], settings


def _wait(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    end = time.monotonic() + 20
    while True:
        try:
            with closing(socket.create_connection(("127.0.0.1", port), timeout=1)):
                return
        except OSError:
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"the proxy does not start: {log.read_text()[-2000:]}") from None
            time.sleep(0.05)
