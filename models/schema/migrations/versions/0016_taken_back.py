"""grants can be taken back in part

Revision: 0016, after 0015. Lock and statement time-outs are set by models.schema.migrations.
"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None
deploy = "pre"
retires = (
    "dispatch_account",
    "deliver_events",
    "end_job",
)  # of before v0.1.0, whose processes call those with a version

CHECK = (
    "taken_back between 0 and amount and taken_owed >= 0 and taken_gone >= 0 and taken_owed + taken_gone <= taken_back "
    "and taken_by_hand between 0 and taken_back"
)


def upgrade() -> None:
    for name in ("taken_back", "taken_owed", "taken_gone", "taken_by_hand"):
        op.add_column("grants", sa.Column(name, sa.BigInteger(), server_default=sa.text("0"), nullable=False))
    op.create_check_constraint(op.f("ck_grants_taken_back"), "grants", CHECK)


def downgrade() -> None:
    op.drop_constraint(op.f("ck_grants_taken_back"), "grants")
    for name in ("taken_by_hand", "taken_gone", "taken_owed", "taken_back"):
        op.drop_column("grants", name)
