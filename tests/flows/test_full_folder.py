"""A full temporary folder is told by doctor, and answered like a storage that is away."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.common.test_scratch import _can_mount
from tests.support import account, key_of

SCRIPT = """
import os, sys
from pathlib import Path

folder = Path(os.environ["TMPDIR"])

def fill():
    with (folder / "rest").open("wb", buffering=0) as rest:
        block = 65536
        while block:
            try:
                rest.write(b"x" * block)
            except OSError:
                block //= 2

fill()  # before anything has looked for a folder
from starlette.testclient import TestClient
from api.main import make_app
from cli.doctor.checks import check_temporary
try:
    print(check_temporary())
except RuntimeError as error:
    print(error)
who = {"authorization": "Bearer " + os.environ["KEY"]}
with TestClient(make_app(), raise_server_exceptions=False) as client:
    for size in (10, 3_000_000):
        answer = client.post("/v1/files", files={"file": ("a.png", b"x" * size)}, headers=who)
        print(answer.status_code, answer.json()["retryable"], "retry-after" in answer.headers)
    print(client.get("/v1/plans").status_code)
    (folder / "rest").unlink()
    print(client.post("/v1/files", files={"file": ("a.png", b"x" * 10)}, headers=who).status_code)
try:
    print(check_temporary())
except RuntimeError as error:
    print(error)
os.environ["MAX_UPLOAD_BYTES"] = "2000"
from common.settings import settings
settings.cache_clear()
print(check_temporary())
print(sorted(path.name for path in Path.cwd().glob("headrace-*")))
"""


@pytest.mark.skipif(not _can_mount(), reason="no small disk can be mounted here")
def test_a_full_temporary_folder_is_told_and_uploads_may_come_again(database: str, tmp_path: Path) -> None:
    command = f'mount -t tmpfs -o size=4m tmpfs "{tmp_path}" && exec "{sys.executable}" -W ignore -c "$SCRIPT"'
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", command], capture_output=True, text=True, check=False,
        env={**os.environ, "SCRIPT": SCRIPT, "TMPDIR": str(tmp_path), "KEY": key_of(account())},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert "make room" in lines[0], done.stdout
    assert lines[1:5] == ["503 True True", "503 True True", "200", "422"], done.stdout
    assert "only" in lines[5], "an upload would not find room"
    assert "are free" in lines[6]
    assert lines[7] == "[]", "nothing is written to the folder that the process happens to be in"
