"""What a catalogue file says that nobody reads is refused, with the word that may be meant."""

import ast
from dataclasses import fields
from pathlib import Path

import pytest

from models.catalogue import entries, parsing
from models.catalogue.providers import ADAPTERS
from workers.providers import base, cog, fal, openai_costs, replicate
from workers.providers.sketch.switches import Switches

PROVIDERS = Path(base.__file__).parent
MODEL = """
[models.x]
name = "x"
kind = "image"
price = { credits = 1 }
routes = [{ provider = "sketch", model = "image" }]
input_schema = { type = "object", additionalProperties = false }
"""
# What is read by names that are put together, or by another file for all adapters.
NUMBERS = {
    "cog": cog.NUMBERS, "fal": fal.NUMBERS, "http": (), "replicate": replicate.NUMBERS,
    "openai": tuple(f"cost_usd_micros_{name}" for name in openai_costs.PRICES),
    "sketch": tuple(each.name for each in fields(Switches)),
}  # fmt: skip


def refused(tmp_path: Path, text: str) -> str:
    path = tmp_path / "c.toml"
    path.write_text(text)
    with pytest.raises(ValueError) as error:
        entries.read_file(path)
    return str(error.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (MODEL.replace("kind =", "knid ="), "models.x.knid: unknown; there are name, description, kind, "),
        (MODEL.replace("kind =", "knid ="), "result_hours, on_cancel, max_pixels, aliases, fields, outputs; did you mean kind?"),
        (MODEL.replace("credits = 1", "credit = 1"), "models.x.price.credit: unknown; there are unit, per, credits, "),
        (MODEL.replace("model = ", "modle = "), "models.x.routes.0.modle: unknown; there are provider, model, options, fields; did you mean model?"),
        (MODEL.replace("[models.x]", "[model.x]"), "model: unknown; there are features = […], [models.…], [providers.…], [plans.…], [packs.…]; did you mean models?"),
        (MODEL.replace('"image" }', '"image", options = { delay = 1 } }'), "models.x.routes.0.options.delay: unknown; there are charge_on_failure, "),
        (MODEL + '[providers.p]\nadapter = "openai"\noptions = { idempotant = true }', "providers.p.options.idempotant: unknown; there are headers, hosts, idempotent; did you mean idempotent?"),
        (MODEL.replace('"sketch"', '"p"').replace('"image" }', '"image", options = { deploy = "a/b" } }') + '[providers.p]\nadapter = "replicate"', "models.x.routes.0.options.deploy: unknown; there are cost_usd_micros_per_call, "),
        (MODEL.replace("kind =", "x" * 5000 + " = 1\nkind ="), "unknown; there are name, "),
    ],
)  # fmt: skip
def test_what_nobody_reads_is_refused_with_what_there_is(tmp_path: Path, text: str, said: str) -> None:
    assert said in refused(tmp_path, text)


def test_the_standard_file_and_its_commented_parts_say_nothing_that_nobody_reads(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text("\n".join(line.removeprefix("#: ") for line in entries.STANDARD_FILE.read_text().splitlines()))
    assert {each.adapter for each in entries.read_file(path).providers} >= {"openai", "replicate", "fal"}


def read_by(path: Path) -> dict[str, set[str]]:
    """The options that a file reads by their names, of a route ("request", or options that are handed on) and of a provider."""
    found: dict[str, set[str]] = {"provider": set(), "route": set()}
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Call(func=ast.Attribute(attr="get", value=whose), args=[ast.Constant(value=str(name)), *_]):
                said = ast.unparse(whose)
            case ast.Call(func=ast.Name(id="_given"), args=[whose, ast.Constant(value=str(name))]):
                said = ast.unparse(whose)
            case _:
                continue
        if said.endswith("endpoint.options"):
            found["provider"].add(name)
        elif said.endswith("options"):
            found["route"].add(name)
    return found


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_what_is_known_of_an_adapters_options_is_what_it_reads(adapter: str) -> None:
    path = PROVIDERS / f"{adapter}.py"
    own = read_by(path) if path.exists() else {"provider": set(), "route": set()}  # sketch reads its fields alone
    for_all = read_by(PROVIDERS / "sources.py")["provider"]
    assert for_all == {"hosts"}
    assert set(parsing.PROVIDER_OPTIONS[adapter]) == own["provider"] | for_all
    assert set(parsing.ROUTE_OPTIONS[adapter]) == own["route"] | set(NUMBERS[adapter])


def test_every_adapter_says_what_it_reads() -> None:
    assert set(parsing.PROVIDER_OPTIONS) == set(parsing.ROUTE_OPTIONS) == set(ADAPTERS)
