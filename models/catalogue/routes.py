"""Where a model is generated, and what its provider calls the fields of its input."""

from collections.abc import Container, Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic import Field as Limit

from models.catalogue.parsing import MAX_NAME_SHOWN


class Route(BaseModel):
    """Where a model is generated: a provider, its name for the model, and options that only the operator sets."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    provider: str
    model: str
    options: dict[str, Any] = {}
    fields: dict[str, str] = Limit(
        {}, description="By what the provider calls it, the field of the input, such as count = 'num_outputs'."
    )

    def renamed(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """These fields of an input as the provider calls them."""
        names = {ours: theirs for theirs, ours in self.fields.items()}
        return {names.get(name, name): value for name, value in values.items()}


def check_known(where: str, fields: Mapping[str, str], properties: Container[str]) -> None:
    """Raise ValueError where a map names a field that the input does not have."""
    unknown = sorted(name for name in fields.values() if name not in properties)
    if unknown:
        raise ValueError(f"{where}: input_schema has no {unknown[0][:MAX_NAME_SHOWN]!r}")


def check_map(where: str, fields: Mapping[str, str], properties: Iterable[str]) -> None:
    """Raise ValueError where a route's map would lose a field of the input, or take one for another."""
    known = set(properties)
    check_known(where, fields, known)
    if len(set(fields.values())) < len(fields):
        raise ValueError(f"{where}: a field of the input goes to two of the provider's")
    taken = sorted((known - set(fields.values())) & set(fields))
    if taken:
        raise ValueError(f"{where}: {taken[0][:MAX_NAME_SHOWN]!r} is a field of the input itself")
