"""ends together: a function that ends the jobs of one worker that ended at the same time, in one transaction

Revision: 0044, after 0043. Lock and statement time-outs are set by models.schema.migrations. Processes of before end them one by one.
"""

revision = "0044"
down_revision = "0043"
branch_labels = None
depends_on = None
deploy = "pre"
functions = ("end_jobs_v1",)


def upgrade() -> None:
    pass  # models.schema.migrations makes the function


def downgrade() -> None:
    pass  # as above
