"""Make a database ready: schema, partitions, plans, catalogue. Safe to run again, and by several at once."""

from pathlib import Path

from models.catalogue import entries, plans
from models.db import transaction
from models.events import events
from models.schema import migrations


def prepare(catalogue_file: Path | None = None) -> dict[str, str]:
    """Returns what changed in the catalogue. Without a file, the standard catalogue is loaded only into an empty one."""
    migrations.upgrade()
    with transaction() as conn:
        conn.execute("select pg_advisory_xact_lock(727275)")  # one at a time
        events.make_partitions(conn)
        standard = entries.read_file(entries.STANDARD_FILE)
        plans.add_missing(conn, standard.plans)
        if catalogue_file is None and conn.execute("select 1 from models limit 1").fetchone():
            return {}
        file = standard if catalogue_file is None else entries.read_file(catalogue_file)
        return entries.apply(
            conn, file.models, file.providers, plan_entries=file.plans, pack_entries=file.packs, features=file.features
        )
