"""Two faults in one run of one job, drawn from a seed: what a single fault leaves behind must not trip over another."""

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]

ROOT = Path(__file__).resolve().parents[2]
SEED = int(os.environ.get("HEADRACE_SEED", random.randrange(10**6)))
PAIRS = 800  # about two minutes on two cores


def test_no_pair_of_faults_breaks_a_promise() -> None:
    print(f"\nseed {SEED}", end=" ")
    command = [sys.executable, "-m", "tests.sweep", "--pairs", str(PAIRS), "--seed", str(SEED)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    print(done.stdout)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
