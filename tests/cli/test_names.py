"""No command hides another of its name."""

from collections import Counter

import typer
from typer.main import get_command

from cli.commands import batches, catalogue, operations
from cli.main import app


def names_in(commands: typer.Typer) -> list[str]:
    """What its commands are called, as typer calls them."""
    given = [each.name or (each.callback.__name__ if each.callback else "") for each in commands.registered_commands]
    return [name.replace("_", "-") for name in given] + [each.name or "" for each in commands.registered_groups]


def test_no_command_hides_another() -> None:
    for commands in (app, batches.app, catalogue.app, operations.app):
        counted = Counter(names_in(commands))
        assert [name for name, times in counted.items() if times > 1] == []
        assert set(get_command(commands).commands) == set(counted)  # type: ignore[attr-defined]  # a group's
