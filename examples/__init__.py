"""Four products that use the API, end to end: `python -m examples --help`, or `make examples` with a system of their own."""

import sys
from importlib.util import find_spec
from pathlib import Path

# They are written on the client of this repository, which nothing but they and its own tests needs here: where it is not
# installed (`pip install ./clients/python`), it is taken from its folder.
if find_spec("headrace_client") is None:
    sys.path.append(str(Path(__file__).resolve().parents[1] / "clients" / "python" / "src"))
