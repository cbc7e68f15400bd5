"""`python -m examples.studio [--port N]`: the studio and all that it needs, until Ctrl-C. `make studio` builds it before."""

import argparse
import signal
import sys
import threading

from rich.console import Console

from examples.starting import CannotStart
from examples.studio.server import BUILT
from examples.studio.starting import PERSON, opened


def main() -> None:
    """Run it, and say where it is."""
    parser = argparse.ArgumentParser(prog="python -m examples.studio", description=__doc__)
    parser.add_argument("--port", type=int, default=8000, help="where it is; 0: any port that is free")
    port: int = parser.parse_args().port
    if not (BUILT / "index.html").exists():
        sys.exit("the studio is not built: make studio")
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    console = Console()
    try:
        console.print("starting PostgreSQL, Valkey, S3, API, worker, scheduler, sender and a checkout")
        with opened(port) as address:
            console.print(f"[green]ready[/] {address}\nsign in as [bold]{PERSON}[/], or as anybody; Ctrl-C stops")
            stopping.wait()
    except CannotStart as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
