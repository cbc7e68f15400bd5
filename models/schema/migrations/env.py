"""Alembic's entry point; always called through models.schema.migrations, which hands the connection over."""

from alembic import context

from models.schema.migrations import include_object
from models.schema.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    include_object=include_object,
    compare_type=True,
    compare_server_default=True,
)
with context.begin_transaction():
    context.run_migrations()
