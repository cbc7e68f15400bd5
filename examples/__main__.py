"""`python -m examples [NAME …]`: run the examples against a running system. Exits with 1 if an answer differs.

HEADRACE_URL says where it is (http://127.0.0.1:8000 if it is not set); each example says which tokens it needs.
"""

import argparse
import os
import sys

from rich.console import Console

from examples import webclient
from examples.running import run

EXAMPLES = {example.name: example for example in (webclient.EXAMPLE,)}


def main() -> None:
    """Run those that are named, or all."""
    parser = argparse.ArgumentParser(prog="python -m examples", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which ones: {', '.join(EXAMPLES)}")
    names: list[str] = parser.parse_args().names
    unknown = [name for name in names if name not in EXAMPLES]
    if unknown:
        parser.error(f"there is no example {unknown[0]}; there are: {', '.join(EXAMPLES)}")
    url = os.environ.get("HEADRACE_URL") or "http://127.0.0.1:8000"
    console = Console()
    failed = [name for name in names or EXAMPLES if not run(EXAMPLES[name], url, os.environ, console)]
    if failed:
        console.print(f"[red]not as it should be:[/] {', '.join(failed)}", highlight=False)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
