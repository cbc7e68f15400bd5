"""A running system for libraries of others: API, workers and scheduler behind TLS, under the address that its answers name; and
npm packages, run by node. Nothing of a library is changed: it gets an address, a key and an authority to trust.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from tests.conftest import environment
from tests.support import System, account, eventually, key_of, model
from tests.tls import papers, tls

NODE = shutil.which("node")
PACKAGES = Path(os.environ.get("HEADRACE_NODE_PACKAGES", Path(__file__).parents[2] / ".headrace" / "tools" / "sdks"))
needs_node = pytest.mark.skipif(
    NODE is None or not (PACKAGES / "node_modules").is_dir(), reason="no npm packages: make tools"
)

# Environments with packages that cannot stand beside ours: `make kits`.
KITS = Path(os.environ.get("HEADRACE_PYTHON_KITS", PACKAGES.parent / "kits"))
OLDER, FRAMEWORKS = KITS / "older", KITS / "frameworks"


def needs_kit(folder: Path) -> pytest.MarkDecorator:
    """Leave a test out where its packages were not installed."""
    return pytest.mark.skipif(not folder.is_dir(), reason="no packages of others: make kits")


TEXT_SCHEMA = {
    "type": "object", "additionalProperties": False, "required": ["prompt"],
    "properties": {"prompt": {"type": "string", "minLength": 1, "maxLength": 5000}},
}  # fmt: skip


class SdkHouse:
    """An address, keys, and the models that tests order: `picture` (also `black-forest-labs/flux-schnell` and `fal-ai/flux/dev`),
    `slow` (five seconds), `broken` (fails), and those of the standard catalogue.
    """

    def __init__(self, system: System, url: str, authority: Path) -> None:
        self.system, self.url, self.authority = system, url, authority

    @property
    def host(self) -> str:
        """With its port."""
        return self.url.removeprefix("https://")

    def key(self, *, credits: int = 1000) -> tuple[UUID, str]:
        """A new account with so many credits, and its key."""
        account_id = account(amount=credits)
        return account_id, key_of(account_id)

    def offer(self, name: str, **fields: Any) -> None:
        """Offer a model, and wait until the running API knows it."""
        model(name, **fields)
        eventually(lambda: httpx.get(f"{self.system.url}/v1/models/{name}").is_success, what=f"the model {name}")

    def provider_starts(self, *job_ids: UUID) -> int:
        """How often the provider was asked to make something for these jobs."""
        asked = self.system.book.calls("start")
        return sum((each.idempotency_key or "").partition(":")[0] in map(str, job_ids) for each in asked)

    def run_python(self, script: str, *, kit: Path, seconds: float = 120, **given: str) -> Any:
        """What a program prints last, as JSON, with the packages of a kit."""
        done = subprocess.run(
            [str(kit / "bin" / "python"), "-I", "-c", script], capture_output=True, text=True, timeout=seconds, check=False,
            env={**os.environ, "SSL_CERT_FILE": str(self.authority), "URL": self.url, **given},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout.strip().splitlines()[-1])

    def run_node(self, script: str, *, seconds: float = 60, **given: str) -> Any:
        """What a module prints last, as JSON. It may `import` the npm packages; `given` are variables of its environment."""
        path = PACKAGES / f"test-{os.getpid()}.mjs"
        path.write_text(script)
        try:
            done = subprocess.run(
                [str(NODE), str(path)], capture_output=True, text=True, timeout=seconds, check=False, cwd=PACKAGES,
                env={**os.environ, "NODE_EXTRA_CA_CERTS": str(self.authority), "URL": self.url, **given},
            )  # fmt: skip
        finally:
            path.unlink()
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout.strip().splitlines()[-1])


@contextmanager
def sdk_house(system: System, folder: Path) -> Iterator[SdkHouse]:
    """The whole of it for the time of a block."""
    folder.mkdir(parents=True, exist_ok=True)
    made = papers(folder)
    model("picture", aliases=["black-forest-labs/flux-schnell", "fal-ai/flux/dev"])
    model("slow", options={"instant": False, "delay_seconds": 5.0})
    model("broken", options={"fail": "permanent"})
    model("text", kind="text", input_schema=TEXT_SCHEMA, routes=[{"provider": "sketch", "model": "text"}])
    port = int(system.url.rpartition(":")[2])
    with tls(port, made.chain) as front:
        url = f"https://localhost:{front}"
        settings = {"PUBLIC_URL": url}
        with environment({**settings, "SSL_CERT_FILE": str(made.authority)}):
            system.start("api", "worker", "scheduler", api=settings, worker=settings, scheduler=settings)
            yield SdkHouse(system, url, made.authority)
