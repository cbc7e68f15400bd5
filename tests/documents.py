"""What documents name: commands, targets, modules, settings, files. `strangers` finds what of it does not exist."""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

FOLDERS = "api|benchmarks|cli|common|deploy|docs|examples|models|scheduler|storage|tests|workers"
_CODE = re.compile(r"```.*?\n(.*?)```|`([^`\n]+)`|\]\(([^)#:\s]+)\)", re.DOTALL)
_PATH = re.compile(
    r"(?<![\w/.:{-])(?:[\w.-]+/)+(?:[\w.-]+\.(?:py|sql|lua|md|toml|json|sh|conf|png|yml|html|txt))?(?![\w/*{<-])"
)
_CALL = re.compile(r"`(GET|POST|PUT|PATCH|DELETE) (/[\w/{}.-]*)")
_CAPITALS = re.compile(r"(?<![\w-])[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+(?![\w*])")
_DOTTED = re.compile(rf"(?<!-m )(?<![\w./-])(?:{FOLDERS})(?:\.[a-z_]\w*)+(?![\w/])")


@cache
def openapi() -> dict[str, Any]:
    """The document of the API as it is committed, which `make check` holds to be the one that the code makes; made anew it
    costs each process of the tests a second.
    """
    found: dict[str, Any] = json.loads((Path(__file__).parents[1] / "docs" / "openapi.json").read_text())
    return found


@dataclass(frozen=True)
class Known:
    """What there is."""

    commands: Mapping[str, Set[str]]  # of `headrace`, with their options; `catalogue apply` is one
    targets: Set[str]  # of make
    names: Set[str]  # in capitals: settings, constants, variables of others
    is_path: Callable[[str], bool]
    is_dotted: Callable[[str], bool]  # a module of ours, or what stands in one


def strangers(path: str, text: str, known: Known) -> list[str]:
    """What a document names and is not there. Commands and files count where they are marked as code, or linked."""
    names = {name for name in _CAPITALS.findall(text) if name not in known.names}
    found = [*sorted(names), *(each for piece in _pieces(path, text) for each in _missing(piece, known))]
    return [f"{path}: {each}" for each in found]


def strange_calls(text: str, paths: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Calls (`GET /v1/jobs`) that a document names and the API does not have. What is in braces may have any name;
    `{function}` stands for all functions of the web client's.
    """
    return [
        f"{method} {path}"
        for method, path in _CALL.findall(text)
        if not any(method.lower() in verbs and _is_call(path, known) for known, verbs in paths.items())
    ]


def _is_call(named: str, known: str) -> bool:
    ours, theirs = named.split("/"), known.split("/")
    return len(ours) == len(theirs) and all(
        one == other or (one.startswith("{") and (other.startswith("{") or one == "{function}"))
        for one, other in zip(ours, theirs, strict=True)
    )


def _pieces(path: str, text: str) -> Iterator[str]:
    """Lines of code; of a file that is no Markdown, all its lines."""
    if not path.endswith(".md"):
        yield from text.splitlines()
        return
    for block, inline, link in _CODE.findall(text):
        yield from block.splitlines() if block else [inline or link]


def _missing(code: str, known: Known) -> Iterator[str]:
    for words, rest in re.findall(r"(?<![\w/.-])headrace ([a-z][a-z-]*(?: [a-z]+)?)([^;|#`]*)", code):
        name = next((each for each in (words, words.partition(" ")[0]) if each in known.commands), None)
        if name is None:
            yield f"headrace {words}"
            continue
        yield from (
            f"headrace {name} {flag}"
            for flag in re.findall(r"(?<!\S)--[a-z-]+", rest)
            if flag not in known.commands[name]
        )
    for line in re.findall(r"(?<![\w/.-])make((?: [a-z][a-z-]*)+)", code):
        yield from (f"make {target}" for target in line.split() if target not in known.targets)
    for module in re.findall(r"python3? -m ([a-z_.]+)", code):
        if module.partition(".")[0] in FOLDERS.split("|") and not known.is_dotted(module):
            yield f"python -m {module}"
    yield from (found for found in _PATH.findall(code) if not known.is_path(found))
    yield from (found for found in _DOTTED.findall(code) if not _PATH.search(found) and not known.is_dotted(found))
