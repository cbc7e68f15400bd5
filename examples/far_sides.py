"""What the far sides have in common: others' servers, played on this machine for as long as a stack is open."""

import threading
from contextlib import ExitStack
from socketserver import BaseServer
from urllib.parse import urlsplit


def place_of(url: str, usual_port: int) -> tuple[str, int]:
    """Where a far side listens. Raises ValueError for what is no address with a host."""
    parts = urlsplit(url)
    if not parts.hostname:
        raise ValueError(f"{url!r} is no address")
    return parts.hostname, parts.port or usual_port


def serve(server: BaseServer, stack: ExitStack) -> None:
    """Answer until the stack is closed."""
    stack.callback(server.server_close)
    threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True).start()
    stack.callback(server.shutdown)
