"""The words of docs/glossary.md are the words of the code, and those that it gives up name nothing."""

import re
from pathlib import Path

import pytest

from common.settings import Settings
from models.schema.tables import metadata
from tests import documents
from tests.gates import sources

ROOT = Path(__file__).resolve().parents[1]
GLOSSARY = (ROOT / "docs/glossary.md").read_text()
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in GLOSSARY.splitlines()
    if line.startswith("| ") and not line.startswith("| word")
]
# Words of the web client, which keep to its door (`api/provisioning/`).
FOREIGN = {"planTier"}
# The ideas of the design. Whatever else has a word may stand beside them.
IDEAS = {
    "account", "grant", "reserve", "settle", "refund", "ledger entry", "job", "attempt", "claim", "lease", "rescue", "model",
    "catalogue", "route", "provider", "provider job", "asset", "dispatch", "event", "delivery",
}  # fmt: skip
CODE = "\n".join(
    text for path, text in sources(ROOT, ("api", "models", "workers", "scheduler")).items() if "versions" not in path
)


def words(text: str) -> set[str]:
    """The words that a name is made of, in small letters: of `delivery_queues`, `JobView`, `/v1/provider-keys`."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", text)
    return {each.lower() for each in re.findall(r"[A-Za-z]+", apart)}


def named() -> dict[str, set[str]]:
    """What clients and operators can name, by what kind of thing it is."""
    document = documents.openapi()
    shapes = document["components"]["schemas"]
    return {
        "tables": set(metadata.tables),
        "columns": {column.name for table in metadata.tables.values() for column in table.columns},
        "settings": set(Settings.model_fields),
        "paths": set(document["paths"]),
        "shapes": set(shapes),
        "fields": {field for shape in shapes.values() for field in shape.get("properties", ())},
    }


def given_up() -> set[str]:
    """Single words; what stands in brackets says why."""
    cells = (re.sub(r"\(.*?\)", "", row[3]) for row in ROWS)
    return {word.replace("-", "") for cell in cells for word in re.findall(r"[a-z-]*[a-z]", cell)}


def strangers(names: set[str]) -> set[str]:
    """Names that are made with a word that was given up, in one number or many."""
    gone = given_up()
    gone |= {word + "s" for word in gone}
    return {name for name in names if words(name) & gone}


def test_every_idea_of_the_design_has_its_word() -> None:
    assert {word for row in ROWS for word in row[0].split(", ")} >= IDEAS


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_word_stands_in_the_file_that_is_named_for_it(row: list[str]) -> None:
    files = re.findall(r"`([\w/.]+)`", row[2])
    text = "\n".join((ROOT / path).read_text() for path in files).lower()
    assert files
    assert [word for word in row[0].split(", ") if not re.search(word.replace(" ", r"[ _]?"), text)] == []


@pytest.mark.parametrize("kind", sorted(named()))
def test_nothing_is_named_with_a_word_that_was_given_up(kind: str) -> None:
    assert strangers(named()[kind]) - FOREIGN == set()


@pytest.mark.parametrize("name", ["wallet_id", "delivery_lines", "TaskView", "/v1/backends", "left_at_engine"])
def test_a_name_that_was_given_up_is_found(name: str) -> None:
    assert strangers({name, "job_id", "DeliveryView", "deadline_at"}) == {name}


@pytest.mark.parametrize("name", ["told", "says_nothing", "leavers", "keep_flag", "tell_soon", "nowhere_to"])
def test_no_name_of_the_code_means_what_only_its_author_knows(name: str) -> None:
    assert not re.search(rf"\bdef {name}\b|\b{name}\s*[:=(]", CODE)
