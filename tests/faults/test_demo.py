"""The demo as a stranger runs it: it ends with 0, leaves files and no process, also after a kill."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.embedded.test_embedded import processes_of
from tests.support import eventually

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]

PROGRAM = [sys.executable, "-c", "from cli.main import main; main()", "demo"]


def clean_environment() -> dict[str, str]:
    return {
        name: value
        for name, value in os.environ.items()
        if name not in {"DATABASE_URL", "REDIS_URL", "S3_ENDPOINT_URL"}
    } | {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}


def test_the_demo_works_also_after_an_earlier_one_was_killed(tmp_path: Path) -> None:
    killed = subprocess.Popen(PROGRAM, cwd=tmp_path, env=clean_environment(), stdout=subprocess.DEVNULL)
    eventually(lambda: any(tmp_path.glob(".headrace/demo/processes/*")), seconds=60, what="the processes of the demo")
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    done = subprocess.run(PROGRAM, cwd=tmp_path, env=clean_environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for text in ("film", "sentence", "refund", "every credit is accounted for"):
        assert text in done.stdout
    saved = {path.name: path.stat().st_size for path in (tmp_path / "demo-results").iterdir()}
    assert set(saved) == {
        "harbour.png",
        "mountains.webp",
        "dreams-1.jpg",
        "dreams-2.jpg",
        "northern-lights.png",
        "film.mp4",
        "sentence.wav",
    }
    assert min(saved.values()) > 5000
    assert processes_of(tmp_path) == []
