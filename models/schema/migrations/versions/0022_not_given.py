"""a payment may say that its plan's months could not be given

Revision: 0022, after 0021. Lock and statement time-outs are set by models.schema.migrations.
"""

from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None
deploy = "pre"

NAME = "ck_payments_problem"
BEFORE = "problem in ('underpaid', 'overpaid', 'other_currency')"
AFTER = "problem in ('underpaid', 'overpaid', 'other_currency', 'not_given')"


def upgrade() -> None:
    _problems_are(AFTER)


def downgrade() -> None:
    op.execute("update payments set problem = null where problem = 'not_given'")
    _problems_are(BEFORE)


def _problems_are(rule: str) -> None:
    op.drop_constraint(op.f(NAME), "payments")
    op.create_check_constraint(op.f(NAME), "payments", rule, postgresql_not_valid=True)
    op.execute(f"alter table payments validate constraint {NAME}")
