"""Every command of `headrace`, with its arguments and options."""

from collections.abc import Iterator
from typing import Any

from typer.main import get_command

from cli.main import app
from cli.reference.markdown import code, page_of, plain, table

INTRODUCTION = """\
`headrace COMMAND --help` says the same in a terminal. `headrace submit` and `headrace watch` are clients of the API at
`PUBLIC_URL`, with the key `HEADRACE_API_KEY`; the others work on the servers that the [settings](settings.md) name. What fails ends
with 1 and one sentence."""


def page() -> str:
    """The page, a section for each command."""
    return page_of("Command line", INTRODUCTION, *(_section(name, each) for name, each in all_commands()))


def all_commands() -> list[tuple[str, Any]]:
    """Each command with its whole name (`catalogue apply`), sorted."""
    return sorted(_walk(get_command(app), ""), key=lambda each: each[0])


def _walk(group: Any, before: str) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _walk(command, f"{before}{name} ")
        else:
            yield before + name, command


def _section(name: str, command: Any) -> str:
    if not command.help:
        raise LookupError(f"headrace {name} has no help")
    parts = [f"## `headrace {name}`", plain(command.help.strip()), f"```\n{usage(name, command)}\n```"]
    rows = [(_written(each), plain(getattr(each, "help", None) or ""), _default(each)) for each in command.params]
    return "\n\n".join([*parts, table(("argument or option", "meaning", "default"), rows)] if rows else parts)


def usage(name: str, command: Any) -> str:
    """How the command is written: arguments in capitals, in brackets what may be left out."""
    words = [
        _bracketed(f"{each.name.upper()}{'…' if each.nargs == -1 else ''}", required=each.required)
        for each in command.params
        if _is_argument(each)
    ]
    return " ".join(["headrace", name, *words, *(["[OPTIONS]"] if len(words) < len(command.params) else [])])


def _is_argument(parameter: Any) -> bool:
    return not parameter.opts[0].startswith("-")


def _bracketed(word: str, *, required: bool) -> str:
    return word if required else f"[{word}]"


def _written(parameter: Any) -> str:
    if _is_argument(parameter):
        return code(parameter.name.upper())
    names = ", ".join(code(each) for each in (*parameter.opts, *parameter.secondary_opts))
    return f"{names} (`{parameter.envvar}`)" if parameter.envvar else names


def _default(parameter: Any) -> str:
    if parameter.required:
        return "required"
    given = parameter.default
    if given in (None, "", False, (), []) or callable(given):
        return "–"
    return code("yes" if given is True else str(getattr(given, "value", given)))
