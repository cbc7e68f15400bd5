"""Which parts of the product this deployment has: `features = [...]` of a catalogue file."""

from collections.abc import Collection, Mapping
from typing import Any

from psycopg import Connection
from sqlalchemy import ARRAY, CheckConstraint, Column, SmallInteger, Text
from sqlmodel import Field, SQLModel

from common.features import FEATURES, Feature


class FeatureList(SQLModel, table=True):
    """One row, once a file has said which parts are on; until then all are."""

    __tablename__ = "features"
    __table_args__ = (CheckConstraint("id = 1", name="one"),)

    id: int = Field(default=1, sa_type=SmallInteger, primary_key=True, sa_column_kwargs={"autoincrement": False})
    names: list[str] = Field(sa_column=Column(ARRAY(Text), nullable=False))


def parse_features(raw: Mapping[str, Any], wrong: list[str]) -> tuple[Feature, ...] | None:
    """The parts that a catalogue file switches on; None: it does not say. What is wrong with them is added to `wrong`."""
    given = raw.get("features")
    if given is None:
        return None
    if not isinstance(given, list) or not all(isinstance(name, str) for name in given):
        wrong.append(f'features: must be a list of names, such as features = ["{FEATURES[0]}", "{FEATURES[1]}"]')
        return None
    wrong += [
        f"features.{name[:40]}: unknown; there are {', '.join(FEATURES)}" for name in given if name not in FEATURES
    ]
    wrong += [f"features.{name[:40]}: stands there twice" for name in sorted({n for n in given if given.count(n) > 1})]
    return tuple(feature for feature in FEATURES if feature in given)


def features_on(conn: Connection[Any]) -> frozenset[Feature]:
    """The parts that are on. A name that only a newer release knows is none of ours."""
    row = conn.execute("select names from features").fetchone()
    return frozenset(FEATURES if row is None else (feature for feature in FEATURES if feature in row[0]))


def switches(conn: Connection[Any], wanted: Collection[Feature] | None) -> dict[Feature, str]:
    """What a file would switch, and how: "on" or "off"."""
    if wanted is None:
        return {}
    now = features_on(conn)
    return {
        feature: "on" if feature in wanted else "off" for feature in FEATURES if (feature in wanted) != (feature in now)
    }


def switch(conn: Connection[Any], wanted: Collection[Feature] | None) -> dict[Feature, str]:
    """Have these parts and no others; None: leave them as they are. Returns what was switched."""
    found = switches(conn, wanted)
    if wanted is not None:
        conn.execute(
            "insert into features (id, names) values (1, %s) on conflict (id) do update set names = excluded.names",
            [sorted(wanted)],
        )
    return found
