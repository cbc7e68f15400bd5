"""A far side: a mail server on this machine, which keeps what it is sent."""

import email
from contextlib import ExitStack
from email import policy
from email.message import EmailMessage
from functools import partial
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import Any

from examples.far_sides import place_of, serve


class Mailbox:
    """Takes mail at an address of this machine, for as long as the stack is open."""

    def __init__(self, url: str, stack: ExitStack) -> None:
        self._got: list[EmailMessage] = []
        server = ThreadingTCPServer(place_of(url, 25), partial(_Session, self._got))
        server.daemon_threads = True
        serve(server, stack)

    def subjects(self, address: str) -> list[str]:
        """What has come for an address, the oldest first."""
        return [str(each["subject"]) for each in list(self._got) if address in str(each["to"])]


class _Session(StreamRequestHandler):
    """One client that sends mail (RFC 5321, as far as it is needed)."""

    def __init__(self, got: list[EmailMessage], *given: Any) -> None:
        self._got = got
        super().__init__(*given)

    def handle(self) -> None:
        self._say("220 here")
        for line in self.rfile:
            verb = line[:4].upper().strip()
            if verb == b"DATA":
                self._say("354 go on")
                self._take()
            self._say("221 bye" if verb == b"QUIT" else "250 ok")
            if verb == b"QUIT":
                return

    def _take(self) -> None:
        """A message, up to the line that is a dot; a line's own first dot came twice."""
        lines = list(iter(self.rfile.readline, b".\r\n"))
        content = b"".join(line.removeprefix(b".") for line in lines)
        self._got.append(email.message_from_bytes(content, policy=policy.default))

    def _say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())
