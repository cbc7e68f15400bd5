"""The whole system on this machine: what goes wrong is said once."""

import os
from pathlib import Path

import pytest
import typer

from cli.commands.local import local_system
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
