"""versions of courses, lessons and questions, for two who edit one; the level of a course when it was completed

Revision: 0032, after 0031. Lock and statement time-outs are set by models.schema.migrations.
"""

import sqlalchemy as sa
from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None
deploy = "pre"

VERSIONED = ("courses", "lessons", "quiz_questions")


def upgrade() -> None:
    for table in VERSIONED:
        op.add_column(table, sa.Column("version", sa.Integer(), server_default="1", nullable=False))
    op.add_column("enrolments", sa.Column("course_level", sa.Text(), nullable=True))
    op.execute(
        "update enrolments e set course_level = c.level from courses c where c.id = e.course_id and e.completed_at is not null"
    )


def downgrade() -> None:
    op.drop_column("enrolments", "course_level")
    for table in VERSIONED:
        op.drop_column(table, "version")
