"""`python -m cli.reference`: docs/reference/ is what the code says; with `--write`, it becomes so (`make reference`).

The pages are committed, so that a change of a setting, an error, an event or a command is seen where changes are read.
"""

import argparse
import difflib
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from cli.reference import calls, commands, event_kinds, problems, setting_rows

COMMITTED = Path(__file__).resolve().parents[2] / "docs" / "reference"
MAX_SHOWN = 20
PAGES: Mapping[str, Callable[[], str]] = {
    "api.md": calls.page,
    "cli.md": commands.page,
    "errors.md": problems.page,
    "events.md": event_kinds.page,
    "settings.md": setting_rows.page,
}


def pages() -> dict[str, str]:
    """Each page by its name."""
    return {name: make() for name, make in PAGES.items()}


def stale(committed: Mapping[str, str], ours: Mapping[str, str]) -> list[str]:
    """Where the pages that there are differ from those of the code, as lines with their page's name."""
    found = [f"{name}: of nothing in the code" for name in sorted(committed.keys() - ours.keys())]
    for name, text in ours.items():
        if name not in committed:
            found.append(f"{name}: is missing")
        elif committed[name] != text:
            lines = difflib.unified_diff(committed[name].splitlines(), text.splitlines(), lineterm="", n=0)
            changed = [line for line in lines if line[:1] in "+-" and line[:3] not in ("+++", "---")]
            found += [f"{name}: {line}" for line in changed or ["only in how its lines end"]]
    return found


def main() -> None:
    """Exits with a sentence where they differ."""
    parser = argparse.ArgumentParser(prog="python -m cli.reference", description=__doc__)
    parser.add_argument("--write", action="store_true", help="write docs/reference/")
    parser.add_argument("--folder", type=Path, default=COMMITTED, help=argparse.SUPPRESS)
    given = parser.parse_args()
    ours, there = pages(), {path.name: path for path in given.folder.glob("*.md")}
    if given.write:
        given.folder.mkdir(parents=True, exist_ok=True)
        for name in there.keys() - ours.keys():
            there[name].unlink()
        for name, text in ours.items():
            (given.folder / name).write_text(text)
        return
    found = stale({name: path.read_text() for name, path in there.items()}, ours)
    if found:
        more = [f"and {len(found) - MAX_SHOWN} more"] if len(found) > MAX_SHOWN else []
        sys.exit(
            "\n".join([f"{given.folder} is not what the code says: run `make reference`", *found[:MAX_SHOWN], *more])
        )
    print(f"docs/reference/ is what the code says: {', '.join(ours)}")


if __name__ == "__main__":
    main()
