"""The catalogue: what clients can order, loaded from TOML, kept in versions that jobs refer to."""

import tomllib
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import orjson
from jsonschema_rs import Draft202012Validator, ValidationError
from psycopg import Connection
from pydantic import BaseModel, ConfigDict
from pydantic import Field as Limit
from sqlalchemy import Boolean, CheckConstraint, Column, Index, Integer, PrimaryKeyConstraint, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from models.base import created_at, in_list
from models.errors import InvalidInput
from models.prices import PriceRule

STANDARD_FILE = Path(__file__).with_name("catalogue.toml")
KINDS = ("image", "video", "speech", "text")
FILE_FORMATS = ("image", "audio", "video", "file")  # of a text in an input schema: it names a file, not itself
MAX_PIXELS = 16_777_216  # per picture, unless the model says less


class CatalogueModel(SQLModel, table=True):
    """One version of one model. A change makes a new version; jobs keep the one they were ordered from."""

    __tablename__ = "models"
    __table_args__ = (
        PrimaryKeyConstraint("id", "version"),
        CheckConstraint(in_list("kind", *KINDS), name="kind"),
        CheckConstraint("version > 0", name="version"),
        Index("ix_models_current", "id", unique=True, postgresql_where=text("current")),
    )

    id: str = Field(sa_type=Text, nullable=False)
    version: int = Field(sa_type=Integer, nullable=False)
    current: bool = Field(sa_type=Boolean, nullable=False)
    kind: str = Field(sa_type=Text, nullable=False)
    entry: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))
    created_at: datetime = created_at()


class Route(BaseModel):
    """Where a model is generated: a provider, its name for the model, and options that only the operator sets."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    provider: str
    model: str
    options: dict[str, Any] = {}


class Entry(BaseModel):
    """One model as the catalogue file has it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Limit(pattern=r"^[a-z0-9][a-z0-9._/-]{0,99}$")
    name: str
    description: str = ""
    kind: Literal["image", "video", "speech", "text"]
    input_schema: dict[str, Any]
    price: PriceRule
    routes: list[Route] = Limit(min_length=1)
    queue: Literal["interactive", "batch"] = "interactive"
    slots: int | None = Limit(None, ge=1, description="At most so many of this model at once per account.")
    timeout_seconds: int = Limit(600, ge=1, le=86_400)
    typical_seconds: int = Limit(5, ge=0)
    max_attempts: int = Limit(3, ge=1, le=20)
    result_hours: int | None = Limit(None, ge=1)
    on_cancel: Literal["refund", "charge"] = "refund"
    max_pixels: int = Limit(MAX_PIXELS, ge=1)

    def model_post_init(self, _context: Any, /) -> None:
        if self.input_schema.get("type") != "object" or self.input_schema.get("additionalProperties") is not False:
            raise ValueError(f"{self.id}: input_schema must be an object with additionalProperties = false")
        Draft202012Validator(self.input_schema)  # refuses a schema that is none

    def file_fields(self) -> dict[str, str]:
        """The fields of the input that name a file: an address, a `data:` URI or an upload; with the format of each."""
        properties: dict[str, dict[str, Any]] = self.input_schema.get("properties", {})
        return {
            name: rule["format"]
            for name, rule in properties.items()
            if rule.get("type") == "string" and rule.get("format") in FILE_FORMATS
        }


class Offer:
    """A current model, ready to take orders: its entry, its version and its compiled schema."""

    __slots__ = ("_defaults", "_validator", "entry", "file_fields", "version")

    def __init__(self, entry: Entry, version: int) -> None:
        self.entry = entry
        self.version = version
        self.file_fields = entry.file_fields()
        self._validator = Draft202012Validator(entry.input_schema)
        properties = entry.input_schema.get("properties", {})
        self._defaults = {name: rule["default"] for name, rule in properties.items() if "default" in rule}

    def checked(self, values: dict[str, Any]) -> dict[str, Any]:
        """The input with its defaults filled in. Raises InvalidInput that names the field, the limit and the size."""
        filled = {**self._defaults, **values}
        if not self._validator.is_valid(filled):
            raise _invalid(next(iter(self._validator.iter_errors(filled))))
        width, height = filled.get("width"), filled.get("height")
        if isinstance(width, int) and isinstance(height, int) and width * height > self.entry.max_pixels:
            raise InvalidInput(
                f"width x height is {width * height} pixels; {self.entry.id} makes at most {self.entry.max_pixels}",
                param="input.width",
                limit=self.entry.max_pixels,
                size=width * height,
            )
        return filled


def _invalid(error: ValidationError) -> InvalidInput:
    """Say what is wrong in one sentence, without repeating a long value."""
    path = ".".join(["input", *(str(part) for part in error.instance_path)])
    kind = error.kind
    value, extra = error.instance, dict[str, Any]()
    rule = kind.as_dict() if hasattr(kind, "as_dict") else {}
    message = error.message
    if "limit" in rule:
        size = len(value) if isinstance(value, str | list) else value
        extra = {"limit": rule["limit"], "size": size}
        what = "characters" if isinstance(value, str) else "items" if isinstance(value, list) else ""
        message = f"is {size} {what}".rstrip() + f"; the limit is {rule['limit']}"
    elif "unexpected" in rule:
        path = f"{path}.{rule['unexpected'][0]}"
        message = "is not a field of this model"
    elif "property" in rule:
        path = f"{path}.{rule['property']}"
        message = "is required"
    elif len(message) > 300:
        message = message[:300] + "…"
    return InvalidInput(f"{path} {message}", param=path, **extra)


def read_file(path: Path) -> list[Entry]:
    """The entries of a catalogue file. Raises ValueError that names what is wrong; a model without a price is refused."""
    raw = tomllib.loads(path.read_text())
    entries = [Entry.model_validate({"id": model_id, **body}) for model_id, body in raw.get("models", {}).items()]
    if not entries:
        raise ValueError(f"{path}: no [models.…] in it")
    return entries


def apply(conn: Connection[Any], entries: list[Entry], *, retire_missing: bool = False) -> dict[str, str]:
    """Make these the current models. Returns what happened to each: "new", "changed" or "retired"; the rest is as it was."""
    current = {
        row[0]: (row[1], row[2])
        for row in conn.execute("select id, version, entry from models where current for update").fetchall()
    }
    changes: dict[str, str] = {}
    for entry in entries:
        body = entry.model_dump(mode="json")
        if entry.id in current and current[entry.id][1] == body:
            continue
        changes[entry.id] = "changed" if entry.id in current else "new"
        conn.execute("update models set current = false where id = %s and current", [entry.id])
        conn.execute(
            """insert into models (id, version, current, kind, entry)
               select %s, coalesce(max(version), 0) + 1, true, %s, %s::jsonb from models where id = %s""",
            [entry.id, entry.kind, orjson.dumps(body).decode(), entry.id],
        )
    if retire_missing:
        for model_id in current.keys() - {entry.id for entry in entries}:
            conn.execute("update models set current = false where id = %s and current", [model_id])
            changes[model_id] = "retired"
    return changes


def offers(conn: Connection[Any]) -> dict[str, Offer]:
    """The current models by id."""
    rows = conn.execute("select entry, version from models where current order by id").fetchall()
    return {row[0]["id"]: Offer(Entry.model_validate(row[0]), row[1]) for row in rows}
