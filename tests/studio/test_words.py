"""node's own tests of the studio: forms, sizes and words, without a browser."""

import re
import subprocess

import pytest

from examples.studio.server import BUILT
from tests.clients_js.house import NODE


@pytest.mark.skipif(
    NODE is None or not (BUILT.parent / "node_modules").is_dir(), reason="the studio is not built: make tools"
)
def test_forms_and_words_come_out_as_said() -> None:
    command = [str(NODE), "--test", "tests/"]
    done = subprocess.run(command, cwd=BUILT.parent, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
    assert re.search(r"^# pass [1-9]", done.stdout, re.MULTILINE)
