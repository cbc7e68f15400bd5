"""Releases to come, for tests of migrations: version files and functions beside those of the tree."""

import textwrap
from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from models.schema import functions, migrations


class Releases:
    """Adds migrations after the newest one, and changes functions' files, for the time of a test."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder = folder
        self._files = dict(functions.FILES)
        monkeypatch.setattr(functions, "FILES", self._files)
        ours, config = Path(migrations.__file__).parent / "versions", migrations._config
        self.head = self._newest = ScriptDirectory(str(ours.parent)).get_current_head() or ""

        def with_these(connection: Connection) -> Config:
            made = config(connection)
            made.set_main_option("version_locations", f"{ours}:{folder}")
            return made

        monkeypatch.setattr(migrations, "_config", with_these)

    def file(self, name: str, text: str) -> None:
        """Put a function's file there, or change it."""
        path = self._folder / f"{name}.sql"
        path.write_text(text)
        self._files[name] = path

    def migration(
        self,
        *,
        deploy: str = "pre",
        new: tuple[str, ...] = (),
        retires: tuple[str, ...] = (),
        upgrade: str = "select 1",
        downgrade: str = "select 1",
    ) -> str:
        """Add a migration. Returns its revision."""
        revision = f"{int(self._newest) + 1:04}"
        (self._folder / f"{revision}.py").write_text(
            textwrap.dedent(f"""
                from alembic import op
                revision, down_revision, branch_labels, depends_on = {revision!r}, {self._newest!r}, None, None
                deploy, functions, retires = {deploy!r}, {new!r}, {retires!r}
                def upgrade(): op.execute({upgrade!r})
                def downgrade(): op.execute({downgrade!r})
                """)
        )
        self._newest = revision
        return revision
