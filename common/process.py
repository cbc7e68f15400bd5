"""What this process is called among others."""

import os
import secrets
import socket


def new_name() -> str:
    """A name for a part of this process that holds leases: machine, process, and what sets it apart from an earlier one."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}"
