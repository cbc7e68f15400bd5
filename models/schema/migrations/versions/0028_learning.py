"""learning: courses with modules, lessons and quizzes; enrolments, progress and quiz attempts

Revision: 0028, after 0027. Lock and statement time-outs are set by models.schema.migrations.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None
deploy = "pre"

MOMENT = sa.DateTime(timezone=True)
NOW = sa.text("app_now()")


def upgrade() -> None:
    op.create_table(
        "courses",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("slug", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("level", sa.Text(), nullable=False),
        sa.Column("cover_url", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("published_at", MOMENT, nullable=True),
        sa.Column("archived_at", MOMENT, nullable=True),
        sa.Column("created_at", MOMENT, server_default=NOW, nullable=False),
        sa.CheckConstraint("level in ('basic', 'intermediate', 'advanced')", name=op.f("ck_courses_level")),
        sa.CheckConstraint("status in ('draft', 'published')", name=op.f("ck_courses_status")),
        sa.CheckConstraint("length(title) <= 200 and length(description) <= 5000", name=op.f("ck_courses_size")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_courses")),
    )
    op.create_index(
        "ix_courses_listed",
        "courses",
        ["status", sa.literal_column("id desc")],
        unique=False,
        postgresql_where=sa.text("archived_at is null"),
    )
    op.create_index(
        "uq_courses_slug", "courses", ["slug"], unique=True, postgresql_where=sa.text("archived_at is null")
    )
    op.create_table(
        "course_modules",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("course_id", sa.Uuid(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=True),
        sa.Column("archived_at", MOMENT, nullable=True),
        sa.Column("created_at", MOMENT, server_default=NOW, nullable=False),
        sa.CheckConstraint("(position is null) = (archived_at is not null)", name=op.f("ck_course_modules_place")),
        sa.ForeignKeyConstraint(["course_id"], ["courses.id"], name=op.f("fk_course_modules_course_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_course_modules")),
        sa.UniqueConstraint(
            "course_id",
            "position",
            deferrable=True,
            initially="DEFERRED",
            name=op.f("uq_course_modules_course_id_position"),
        ),
    )
    op.create_table(
        "lessons",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("course_id", sa.Uuid(), nullable=False),
        sa.Column("module_id", sa.Uuid(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("video_url", sa.Text(), nullable=True),
        sa.Column("access", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("pass_percent", sa.SmallInteger(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=True),
        sa.Column("archived_at", MOMENT, nullable=True),
        sa.Column("created_at", MOMENT, server_default=NOW, nullable=False),
        sa.CheckConstraint("access in ('preview', 'pro')", name=op.f("ck_lessons_access")),
        sa.CheckConstraint("status in ('draft', 'published')", name=op.f("ck_lessons_status")),
        sa.CheckConstraint("(position is null) = (archived_at is not null)", name=op.f("ck_lessons_place")),
        sa.CheckConstraint("length(title) <= 200 and length(body) <= 50000", name=op.f("ck_lessons_size")),
        sa.CheckConstraint("pass_percent between 1 and 100", name=op.f("ck_lessons_pass_percent")),
        sa.ForeignKeyConstraint(["course_id"], ["courses.id"], name=op.f("fk_lessons_course_id")),
        sa.ForeignKeyConstraint(["module_id"], ["course_modules.id"], name=op.f("fk_lessons_module_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_lessons")),
        sa.UniqueConstraint(
            "module_id", "position", deferrable=True, initially="DEFERRED", name=op.f("uq_lessons_module_id_position")
        ),
    )
    op.create_index(
        "ix_lessons_course", "lessons", ["course_id"], unique=False, postgresql_where=sa.text("archived_at is null")
    )
    op.create_table(
        "quiz_questions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("lesson_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("options", postgresql.JSONB(), nullable=False),
        sa.Column("right_options", sa.ARRAY(sa.SmallInteger()), nullable=False),
        sa.Column("explanation", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=True),
        sa.Column("archived_at", MOMENT, nullable=True),
        sa.Column("created_at", MOMENT, server_default=NOW, nullable=False),
        sa.CheckConstraint(
            "kind = 'multiple' or cardinality(right_options) = 1", name=op.f("ck_quiz_questions_one_is_right")
        ),
        sa.CheckConstraint("kind in ('single', 'multiple')", name=op.f("ck_quiz_questions_kind")),
        sa.CheckConstraint("(position is null) = (archived_at is not null)", name=op.f("ck_quiz_questions_place")),
        sa.CheckConstraint("cardinality(right_options) > 0", name=op.f("ck_quiz_questions_right_options")),
        sa.ForeignKeyConstraint(["lesson_id"], ["lessons.id"], name=op.f("fk_quiz_questions_lesson_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_quiz_questions")),
        sa.UniqueConstraint(
            "lesson_id",
            "position",
            deferrable=True,
            initially="DEFERRED",
            name=op.f("uq_quiz_questions_lesson_id_position"),
        ),
    )
    op.create_table(
        "enrolments",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("course_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", MOMENT, server_default=NOW, nullable=False),
        sa.Column("completed_at", MOMENT, nullable=True),
        sa.Column("course_title", sa.Text(), nullable=True),
        sa.CheckConstraint("(completed_at is null) = (course_title is null)", name=op.f("ck_enrolments_completed")),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_enrolments_account_id")),
        sa.ForeignKeyConstraint(["course_id"], ["courses.id"], name=op.f("fk_enrolments_course_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_enrolments")),
        sa.UniqueConstraint("account_id", "course_id", name=op.f("uq_enrolments_account_id_course_id")),
    )
    op.create_index(
        op.f("ix_enrolments_account_id"), "enrolments", ["account_id", sa.literal_column("id desc")], unique=False
    )
    op.create_table(
        "lesson_progress",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("lesson_id", sa.Uuid(), nullable=False),
        sa.Column("course_id", sa.Uuid(), nullable=False),
        sa.Column("started_at", MOMENT, server_default=NOW, nullable=False),
        sa.Column("completed_at", MOMENT, nullable=True),
        sa.Column("score", sa.SmallInteger(), nullable=True),
        sa.Column("seconds", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("visits", sa.Integer(), server_default="0", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.CheckConstraint("score between 0 and 100", name=op.f("ck_lesson_progress_score")),
        sa.CheckConstraint("seconds >= 0 and visits >= 0 and attempts >= 0", name=op.f("ck_lesson_progress_counts")),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_lesson_progress_account_id")),
        sa.ForeignKeyConstraint(["course_id"], ["courses.id"], name=op.f("fk_lesson_progress_course_id")),
        sa.ForeignKeyConstraint(["lesson_id"], ["lessons.id"], name=op.f("fk_lesson_progress_lesson_id")),
        sa.PrimaryKeyConstraint("account_id", "lesson_id", name=op.f("pk_lesson_progress")),
    )
    op.create_index("ix_lesson_progress_course", "lesson_progress", ["account_id", "course_id"], unique=False)
    op.create_table(
        "lesson_visits",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("lesson_id", sa.Uuid(), nullable=False),
        sa.Column("visit", sa.Text(), nullable=False),
        sa.Column("seconds", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_lesson_visits_account_id")),
        sa.ForeignKeyConstraint(["lesson_id"], ["lessons.id"], name=op.f("fk_lesson_visits_lesson_id")),
        sa.PrimaryKeyConstraint("account_id", "lesson_id", "visit", name=op.f("pk_lesson_visits")),
    )
    op.create_table(
        "quiz_attempts",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("lesson_id", sa.Uuid(), nullable=False),
        sa.Column("score", sa.SmallInteger(), nullable=False),
        sa.Column("passed", sa.Boolean(), nullable=False),
        sa.Column("answers", postgresql.JSONB(), nullable=False),
        sa.Column("created_at", MOMENT, server_default=NOW, nullable=False),
        sa.CheckConstraint("score between 0 and 100", name=op.f("ck_quiz_attempts_score")),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_quiz_attempts_account_id")),
        sa.ForeignKeyConstraint(["lesson_id"], ["lessons.id"], name=op.f("fk_quiz_attempts_lesson_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_quiz_attempts")),
    )
    op.create_index(
        "ix_quiz_attempts_lesson",
        "quiz_attempts",
        ["account_id", "lesson_id", sa.literal_column("id desc")],
        unique=False,
    )
    op.create_table(
        "course_counts",
        sa.Column("course_id", sa.Uuid(), nullable=False),
        sa.Column("shard", sa.SmallInteger(), nullable=False),
        sa.Column("enrolled", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("completed", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.ForeignKeyConstraint(["course_id"], ["courses.id"], name=op.f("fk_course_counts_course_id")),
        sa.PrimaryKeyConstraint("course_id", "shard", name=op.f("pk_course_counts")),
    )


def downgrade() -> None:
    for name in (
        "course_counts",
        "quiz_attempts",
        "lesson_visits",
        "lesson_progress",
        "enrolments",
        "quiz_questions",
        "lessons",
        "course_modules",
        "courses",
    ):
        op.drop_table(name)
