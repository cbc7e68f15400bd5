"""`python -m making`, in clients/python: writes what is made. `--check`: says what is not up to date, and fails."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from making.routes import route_texts
from making.shapes import models_text
from making.sync import blocking

HERE = Path(__file__).resolve().parents[1]
PACKAGE = HERE / "src" / "headrace_client"
DOCUMENT = HERE.parents[1] / "docs" / "openapi.json"


def document() -> dict[str, Any]:
    """The API's document."""
    found: dict[str, Any] = json.loads(DOCUMENT.read_text())
    return found


def made() -> dict[str, str]:
    """All that is made, by path below the package, formatted."""
    described = document()
    texts = {"models.py": models_text(described)}
    routes = {f"_async/routes/{name}.py": text for name, text in route_texts(described).items()}
    texts.update(routes)
    waiting = {path.relative_to(PACKAGE).as_posix(): path.read_text() for path in (PACKAGE / "_async").glob("*.py")}
    texts.update({path.replace("_async/", "_sync/"): blocking(text) for path, text in {**waiting, **routes}.items()})
    return _formatted(texts)


def _formatted(texts: dict[str, str]) -> dict[str, str]:
    ruff = Path(sys.executable).with_name("ruff")
    config = HERE / "pyproject.toml"
    with tempfile.TemporaryDirectory() as folder:
        for path, text in texts.items():
            place = Path(folder) / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
        for act in (["check", "--fix-only", "--select", "I,UP,F401"], ["format"]):
            command = [str(ruff), *act, "--quiet", "--no-cache", "--config", str(config), folder]
            subprocess.run(command, check=True, cwd=HERE)  # noqa: S603 - our own formatter, with our own arguments
        return {path: (Path(folder) / path).read_text() for path in texts}


def stale(texts: dict[str, str]) -> list[str]:
    """What stands there and should not, or should stand there and does not, or says something else."""
    stands = {
        path.relative_to(PACKAGE).as_posix()
        for folder in ("_sync", "_async/routes")
        for path in (PACKAGE / folder).rglob("*.py")
    }
    old = {path for path, text in texts.items() if not _says(path, text)}
    return sorted(old | (stands - set(texts)))


def _says(path: str, text: str) -> bool:
    place = PACKAGE / path
    return place.exists() and place.read_text() == text


def main() -> int:
    """Write, or check."""
    texts = made()
    found = stale(texts)
    if "--check" in sys.argv:
        print("\n".join(f"{path}: not up to date; run `python -m making` in clients/python" for path in found))
        return 1 if found else 0
    for path in found:
        place = PACKAGE / path
        if path not in texts:
            place.unlink()
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(texts[path])
    print(f"{len(texts)} files, {len(found)} of them written or removed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
