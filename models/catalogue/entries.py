"""The catalogue: what clients can order, loaded from TOML, kept in versions that jobs refer to."""

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

import orjson
from jsonschema_rs import Draft202012Validator, ValidationError
from psycopg import Connection
from pydantic import BaseModel, ConfigDict
from pydantic import Field as Limit
from sqlalchemy import Boolean, CheckConstraint, Column, Index, Integer, PrimaryKeyConstraint, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from common.errors import InvalidInput
from common.features import Feature
from common.nearest import meant
from models.catalogue import packs, plans, switches
from models.catalogue.history import field_changes
from models.catalogue.kinds import KINDS
from models.catalogue.packs import PackEntry, check_meanings
from models.catalogue.parsing import MAX_NAME_SHOWN, PROVIDER_OPTIONS, ROUTE_OPTIONS, parsed, unknown_options
from models.catalogue.plans import Kept, PlanEntry
from models.catalogue.prices import PriceRule, Terms, misfits
from models.catalogue.providers import BUILT_IN, ProviderEntry
from models.catalogue.providers import apply as apply_providers
from models.catalogue.routes import Route, check_known, check_map
from models.columns import created_at, in_list

STANDARD_FILE = Path(__file__).with_name("catalogue.toml")
SECTIONS = ("models", "providers", "plans", "packs")  # of a catalogue file
MAX_ERRORS_SHOWN = 20  # of a file, told at once
FILE_FORMATS = ("image", "audio", "video", "file")  # of a text in an input schema: it names a file, not itself
ALIAS = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:-]{0,199}")
# Left out where they are empty: processes of the release before know none of them.
LATER_FIELDS = ("aliases", "fields", "outputs")
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
    slots: int | None = Limit(
        None, ge=1, le=1_000_000, description="At most so many of this model at once per account."
    )
    timeout_seconds: int = Limit(600, ge=1, le=86_400)
    typical_seconds: int = Limit(5, ge=0)
    max_attempts: int = Limit(3, ge=1, le=20)
    result_hours: Kept | None = None
    on_cancel: Literal["refund", "charge", "keep"] = Limit(
        "refund",
        description="A result that comes too late for a cancel: dropped and refunded, dropped and charged, or kept.",
    )
    max_pixels: int = Limit(MAX_PIXELS, ge=1)
    aliases: list[str] = Limit(
        [], max_length=50, description="What else programs call it, such as black-forest-labs/flux-schnell."
    )
    fields: dict[str, str] = Limit(
        {}, description="By what OpenAI calls it, how a field of the input is called, such as n = 'count'."
    )
    outputs: Literal["one", "list"] | None = Limit(
        None,
        description="How programs of other products expect its results: one file or a list. Unsaid: pictures in a list.",
    )

    def model_post_init(self, _context: Any, /) -> None:
        if self.input_schema.get("type") != "object" or self.input_schema.get("additionalProperties") is not False:
            raise ValueError("input_schema must be an object with additionalProperties = false")
        odd = [name for name in self.aliases if not ALIAS.fullmatch(name)]
        if odd:
            raise ValueError(
                f"aliases: {odd[0][:MAX_NAME_SHOWN]!r} must be of letters, digits and . _ / : -, at most 200"
            )
        properties = self.input_schema.get("properties", {})
        check_known("fields", self.fields, properties)
        for number, route in enumerate(self.routes):
            check_map(f"routes.{number}.fields", route.fields, properties)
        Draft202012Validator(self.input_schema)  # refuses a schema that is none

    def file_fields(self) -> dict[str, str]:
        """The fields of the input that name a file: an address, a `data:` URI or an upload; with the format of each."""
        properties: dict[str, dict[str, Any]] = self.input_schema.get("properties", {})
        return {
            name: rule["format"]
            for name, rule in properties.items()
            if rule.get("type") == "string" and rule.get("format") in FILE_FORMATS
        }


def body_of(entry: Entry) -> dict[str, Any]:
    """A model as it is stored."""
    empty = {name for name in LATER_FIELDS if not getattr(entry, name)}
    body = entry.model_dump(mode="json", exclude=empty)
    for route in body["routes"]:
        if not route["fields"]:
            del route["fields"]
    return body


class Offer:
    """A current model, ready to take orders: its entry, its version and its compiled schema."""

    __slots__ = ("_defaults", "_validator", "created_at", "entry", "file_fields", "version")

    def __init__(self, entry: Entry, version: int, created_at: datetime | None = None) -> None:
        self.entry = entry
        self.version = version
        self.created_at = created_at  # of this version; None: it is not stored
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


class CatalogueFile(NamedTuple):
    """A catalogue file that has been read and found good."""

    models: list[Entry]
    providers: list[ProviderEntry]
    plans: list[PlanEntry]
    packs: list[PackEntry]
    features: tuple[Feature, ...] | None = None  # the parts that are on; None: it does not say


def read_file(path: Path) -> CatalogueFile:
    """Read a catalogue file. Raises ValueError that names the section, the name and the field, for all that is wrong.

    A file stands by itself: the providers that its routes name are in it, or built in. Prices of models are looked at on
    its own plans; on those that are stored already, when it is applied.
    """
    raw = tomllib.loads(path.read_text())
    wrong = [
        f"{name[:MAX_NAME_SHOWN]}: unknown; there are features = […], {', '.join(f'[{each}.…]' for each in SECTIONS)}"
        + meant(name, [*SECTIONS, "features"])
        for name in sorted(raw.keys() - {*SECTIONS, "features"})
    ]
    features = switches.parse_features(raw, wrong)
    providers = parsed(raw, "providers", "name", ProviderEntry, wrong)
    models = parsed(raw, "models", "id", Entry, wrong)
    known = {BUILT_IN, *raw.get("providers", {})}
    wrong += [
        f"models.{entry.id}.routes.{at}.provider: there is no [providers.{route.provider}]"
        for entry in models
        for at, route in enumerate(entry.routes)
        if route.provider not in known
    ]
    wrong += _unknown_options(models, providers)
    plan_entries = parsed(raw, "plans", "id", PlanEntry, wrong)
    pack_entries = parsed(raw, "packs", "id", PackEntry, wrong)
    twice = sorted(set(raw.get("plans", {})) & set(raw.get("packs", {})))
    wrong += [f"packs.{name}: there is a [plans.{name}] too; an id has one meaning" for name in twice]
    wrong += _twice_named(models)
    wrong += _unpriceable(models, {plan.id: plan for plan in plan_entries})
    if not raw.get("models"):
        wrong.append("no [models.…] in it")
    if wrong:
        raise ValueError("\n".join([f"{path}:", *(f"  {each}" for each in wrong[:MAX_ERRORS_SHOWN])]))
    return CatalogueFile(models, providers, plan_entries, pack_entries, features)


def _twice_named(models: Sequence[Entry]) -> list[str]:
    """Names that two models of a file have: who orders by one would get either."""
    owners: dict[str, str] = {each.id: each.id for each in models}
    return [
        f"models.{each.id}.aliases: {name} is {owner} already"
        for each in models
        for name in each.aliases
        if (owner := owners.setdefault(name, each.id)) != each.id
    ]


def _unknown_options(models: Iterable[Entry], providers: Sequence[ProviderEntry]) -> list[str]:
    """Options that the adapter of a provider, or of a route's provider, does not read. A built-in one is its own adapter."""
    adapters = {BUILT_IN: BUILT_IN, **{each.name: each.adapter for each in providers}}
    return [
        *(
            line
            for each in providers
            for line in unknown_options(f"providers.{each.name}", each.options, PROVIDER_OPTIONS[each.adapter])
        ),
        *(
            line
            for entry in models
            for at, route in enumerate(entry.routes)
            if route.provider in adapters
            for line in unknown_options(
                f"models.{entry.id}.routes.{at}", route.options, ROUTE_OPTIONS[adapters[route.provider]]
            )
        ),
    ]


def _unpriceable(entries: Iterable[Entry], plans: Mapping[str, Terms]) -> list[str]:
    return [
        f"models.{entry.id}.{each}" for entry in entries for each in misfits(entry.price, entry.input_schema, plans)
    ]


class _PlanTerms(NamedTuple):
    """What a plan in the database says on prices."""

    credit_price_usd_micros: int
    markup_bp: int


def _check_prices(conn: Connection[Any], entries: Iterable[Entry], given: Iterable[PlanEntry]) -> None:
    """Raises InvalidInput where a price, of these models or of a current one, does not fit one of the plans as they will
    be with those that are given.
    """
    rows = conn.execute("select id, credit_price_usd_micros, markup_bp from plans order by position, id").fetchall()
    terms: dict[str, Terms] = {row[0]: _PlanTerms(*row[1:]) for row in rows}
    changed: dict[str, Terms] = {
        each.id: each
        for each in given
        if terms.get(each.id) != _PlanTerms(each.credit_price_usd_micros, each.markup_bp)
    }
    asked = {each.id: each for each in entries}
    wrong = _unpriceable(asked.values(), {**terms, **changed})
    if changed:  # only then a model that stays as it is may have lost its price
        others = conn.execute("select entry from models where current and not (id = any(%s))", [list(asked)]).fetchall()
        wrong += _unpriceable((Entry.model_validate(row[0]) for row in others), changed)
    if wrong:
        raise InvalidInput("\n".join(wrong[:MAX_ERRORS_SHOWN]), param=wrong[0].partition(":")[0])


class Change(NamedTuple):
    """What applying a file would change: what is new, changed or retired, and its fields.

    Fields are (path, before, after); of what is new or retired there are none.
    """

    section: str  # one of SECTIONS, or features
    name: str
    change: str  # of a feature: on or off
    fields: list[tuple[str, Any, Any]]


def compare(conn: Connection[Any], file: CatalogueFile, *, retire_missing: bool = False) -> list[Change]:
    """What `apply` would change, field by field. Raises InvalidInput as `apply` does."""
    check_meanings(conn, file.plans, file.packs)
    _check_prices(conn, file.models, file.plans)
    stored: dict[str, dict[str, Any]] = {
        "providers": dict(conn.execute("select name, entry from providers").fetchall()),
        "models": dict(conn.execute("select id, entry from models where current").fetchall()),
        "plans": plans.stored_plans(conn),
        "packs": packs.stored_packs(conn),
    }
    given: dict[str, dict[str, Any]] = {
        "providers": {each.name: each.model_dump(mode="json", exclude={"name"}) for each in file.providers},
        "models": {each.id: body_of(each) for each in file.models},
        "plans": {each.id: plans.body_of(each) for each in file.plans},
        "packs": {each.id: packs.body_of(each) for each in file.packs},
    }
    found = []
    for section, bodies in given.items():
        for name, body in bodies.items():
            before = stored[section].get(name)
            if before is None:
                found.append(Change(section, name, "new", []))
            elif before != body:
                found.append(Change(section, name, "changed", field_changes(before, body)))
    found += [Change("features", name, to, []) for name, to in switches.switches(conn, file.features).items()]
    if retire_missing:
        found += [Change("models", name, "retired", []) for name in sorted(stored["models"].keys() - given["models"])]
    return found


def apply(
    conn: Connection[Any],
    entries: Sequence[Entry],
    providers: Sequence[ProviderEntry] = (),
    *,
    plan_entries: Sequence[PlanEntry] = (),
    pack_entries: Sequence[PackEntry] = (),
    features: Sequence[Feature] | None = None,
    retire_missing: bool = False,
) -> dict[str, str]:
    """Make these the current models, write these providers, plans and packs, and have these parts. Old versions stay: jobs
    refer to them.

    Returns what happened to each model: "new", "changed" or "retired", to each `providers.NAME`, `plans.NAME` and
    `packs.NAME`, and to each `features.NAME`: "on" or "off". Raises InvalidInput that names the field, where a price cannot be kept on one of the plans, or an id means
    something else already.
    """
    check_meanings(conn, plan_entries, pack_entries)
    _check_prices(conn, entries, plan_entries)
    changes = {f"providers.{name}": change for name, change in apply_providers(conn, providers).items()}
    changes |= {f"plans.{name}": change for name, change in plans.apply_plans(conn, plan_entries).items()}
    changes |= {f"packs.{name}": change for name, change in packs.apply_packs(conn, pack_entries).items()}
    changes |= {f"features.{name}": change for name, change in switches.switch(conn, features).items()}
    current = {
        row[0]: row[1] for row in conn.execute("select id, entry from models where current for update").fetchall()
    }
    for entry in entries:
        body = body_of(entry)
        if entry.id in current and current[entry.id] == body:
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
    rows = conn.execute("select entry, version, created_at from models where current order by id").fetchall()
    return {row[0]["id"]: Offer(Entry.model_validate(row[0]), *row[1:]) for row in rows}
