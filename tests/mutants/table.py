"""The list of planted bugs: read from the .toml files here, and applied to a copy of the tree."""

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(__file__).resolve().parent
NAME_CHARACTERS = 30  # of a line of 80


class Stale(Exception):
    """The text to change is not there exactly once: the code has moved on, and the entry must follow it."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One planted bug. `tests` are node ids, each of which must pass without it and fail with it."""

    name: str
    file: str
    find: str
    replace: str
    why: str
    tests: tuple[str, ...]

    def planted(self, text: str) -> str:
        """The file's text with the bug in it. Raises Stale."""
        count = text.count(self.find) if self.find else 0
        if count != 1:
            raise Stale(f"stale mutant: {self.name}: its text is {count} times in {self.file}, not once")
        return text.replace(self.find, self.replace)


def read(folder: Path = FOLDER) -> list[Mutant]:
    """All of them. Raises ValueError for an entry that is not well written."""
    found = [
        _entry(path, each)
        for path in sorted(folder.glob("*.toml"))
        for each in tomllib.loads(path.read_text())["mutant"]
    ]
    names = [each.name for each in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"two mutants are called {twice[0]!r}")
    return found


def _entry(path: Path, given: dict[str, object]) -> Mutant:
    mutant = Mutant(**{**given, "tests": tuple(given.get("tests", ()))})
    texts = (mutant.name, mutant.file, mutant.why, *mutant.tests)
    if not mutant.tests or not all(isinstance(text, str) and text for text in texts):
        raise ValueError(f"{path.name}: {mutant.name}: a text or a test is missing")
    if len(mutant.name) > NAME_CHARACTERS or mutant.find == mutant.replace:
        raise ValueError(f"{path.name}: {mutant.name}: its name is too long, or it changes nothing")
    return mutant


def stale(mutants: Iterable[Mutant], root: Path = ROOT) -> list[str]:
    """What is wrong with those whose text is not there, or whose tests' files are not."""
    wrong = []
    for mutant in mutants:
        try:
            mutant.planted((root / mutant.file).read_text())
        except (Stale, OSError) as error:
            wrong.append(str(error))
        wrong += [
            f"stale mutant: {mutant.name}: there is no {file}"
            for file in sorted({test.partition("::")[0] for test in mutant.tests})
            if not (root / file).is_file()
        ]
    return wrong
