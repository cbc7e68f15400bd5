"""`python -m cli.openapi`: the committed OpenAPI document is that of the code; with `--write`, it becomes so (`make openapi`).

It is committed so that a change of the API is seen where changes are read, and beside it in CHANGELOG whether clients break.
"""

import argparse
import json
import sys
from pathlib import Path

from api.main import make_app

COMMITTED = Path(__file__).resolve().parents[1] / "docs" / "openapi.json"
MAX_SHOWN = 20


def document() -> str:
    """The document as it is committed: sorted, so that a moved line of code is no change."""
    return json.dumps(make_app().openapi(), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def differences(committed: str, ours: str) -> list[str]:
    """Where two documents differ, as paths of keys."""
    if committed == ours:
        return []
    return _differences(json.loads(committed or "{}"), json.loads(ours), "") or ["only in how it is written"]


def _differences(before: object, after: object, at: str) -> list[str]:
    if isinstance(before, dict) and isinstance(after, dict):
        return [
            difference
            for key in sorted(before.keys() | after.keys())
            for difference in (
                _differences(before[key], after[key], f"{at} > {key}")
                if key in before and key in after
                else [f"{at} > {key}: {'gone' if key in before else 'new'}"]
            )
        ]
    return [] if before == after else [f"{at}: changed"]


def main() -> None:
    """Exits with a sentence where they differ."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write docs/openapi.json")
    parser.add_argument("--file", type=Path, default=COMMITTED, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.write:
        given.file.write_text(document())
        return
    found = differences(given.file.read_text() if given.file.exists() else "", document())
    if found:
        more = [f"and {len(found) - MAX_SHOWN} more"] if len(found) > MAX_SHOWN else []
        sys.exit(
            "\n".join(
                [
                    f"{given.file} is not the document of the code: run `make openapi`, and name in CHANGELOG what breaks clients",
                    *(each.removeprefix(" > ") for each in found[:MAX_SHOWN]),
                    *more,
                ]
            )
        )
    print(f"{given.file.name} is the document of the code")


if __name__ == "__main__":
    main()
