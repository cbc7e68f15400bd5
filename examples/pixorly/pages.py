"""Pixorly's pages, which speak JavaScript: `web.mjs`, run by node with Clerk's token of a person (B1, B4, B5)."""

import json
import shutil
import subprocess
from pathlib import Path

from examples.noting import NOTES
from examples.pixorly.person import Person
from examples.running import Difference, NotHere, Place, same

CLIENTS = Path(__file__).resolve().parents[2] / "clients" / "js"
SCRIPT = Path(__file__).with_name("web.mjs")
NODE = shutil.which("node")
NODE_SECONDS = 120.0
WANTED = {
    "request GET /v1/me": {"plan": "free"},
    "credits.get": {"same": True},
    "quote": {"credits": 1, "enough": True},
    "jobs.submit": {"ordered": True},
    "jobs.stream": {"first": "job"},
    "jobs.get": {"status": "succeeded", "charged": 1},
    "credits.get of a visitor": {"refused": "forbidden"},
    "jobs.list": {"newest": True},
    "gallery.list": {"prompt": "a heron at noon"},
    "outputs.download": {"type": "image/png"},
}


def why_not() -> str | None:
    """What is lacking on this machine; None: nothing is."""
    if NODE is None:
        return "there is no node on this machine"
    if not (CLIENTS / "client" / "dist" / "index.js").is_file():
        return "the JavaScript client is not built: make clients"
    return None


class Pages:
    """One user's pages."""

    def __init__(self, place: Place, person: Person) -> None:
        self._place, self._person = place, person

    def run(self) -> None:
        """Do what the pages do. Raises NotHere where there is no node, or the JavaScript client is not built."""
        if (lacking := why_not()) is not None:
            raise NotHere(lacking)
        given = {"HEADRACE_URL": self._place.url, "SESSION_TOKEN": self._person.token}
        # From standard input, so that node finds @headrace/client where it is built, as it would in a product's node_modules.
        done = subprocess.run(  # noqa: S603 - node, with a script of ours
            [str(NODE), "--input-type=module"], input=SCRIPT.read_text(), cwd=CLIENTS, env=given, capture_output=True,
            text=True, timeout=NODE_SECONDS, check=False,
        )  # fmt: skip
        if done.returncode:
            raise Difference(f"web.mjs ends with {done.returncode}: {done.stderr[-1000:]}")
        said = {each["call"]: each["result"] for each in map(json.loads, done.stdout.splitlines())}
        for call, wanted in WANTED.items():
            NOTES.call(f"`{call}` in JavaScript")
            same(said.get(call), wanted, f"`{call}`")
