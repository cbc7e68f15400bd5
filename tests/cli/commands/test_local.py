"""The whole system on this machine: what goes wrong is said once."""

import os
import socket
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from cli.commands.local import local_system, refuse_taken
from cli.embedded.servers import free_ports
from cli.main import app
from cli.output import fail
from common.settings import settings


@pytest.mark.usefixtures("database")
def test_whoever_gives_up_within_has_said_why_and_nothing_is_said_after_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = settings().public_url
    with pytest.raises(typer.Exit) as ended, local_system(tmp_path, dict(os.environ), {"PUBLIC_URL": "http://here"}):
        assert settings().public_url == "http://here"
        raise fail("the API is not ready", 3)
    assert (ended.value.exit_code, capsys.readouterr().err) == (3, "the API is not ready\n")
    assert settings().public_url == before


def test_a_port_that_is_taken_is_named_before_anything_is_started(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        done = CliRunner().invoke(app, ["up", f"--port={port}", f"--state={tmp_path / 'state'}"])
    assert (done.exit_code, done.stdout) == (1, "")
    assert f"port {port} is taken" in done.stderr
    assert "--port 0" in done.stderr
    assert not (tmp_path / "state").exists()


def test_a_port_that_nobody_has_is_not_refused() -> None:
    refuse_taken(free_ports(1)[0])
