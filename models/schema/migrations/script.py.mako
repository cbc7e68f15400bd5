"""${message}

Revision: ${up_revision}, after ${down_revision | comma,n}. Lock and statement time-outs are set by models.schema.migrations.
"""

import sqlalchemy as sa
from alembic import op
${imports if imports else ""}
revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = None
depends_on = None
# "post" where processes of the release before cannot live with it: it runs once they are gone (CONTRIBUTING.md).
deploy = "pre"
# SQL functions that come with this revision, and those that nobody calls any more.
functions = ()
retires = ()


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    ${downgrades if downgrades else "pass"}
