"""The catalogue: versions, refusals, and inputs checked against it."""

from pathlib import Path

import pytest

from common.errors import InvalidInput
from models.catalogue import entries
from models.db import transaction
from tests.support import account, model, one, placed, rows

STANDARD = {entry.id: entries.Offer(entry, 1) for entry in entries.read_file(entries.STANDARD_FILE).models}


@pytest.mark.usefixtures("database")
def test_a_change_makes_a_version_and_jobs_keep_theirs() -> None:
    offer = model(price={"credits": 1})
    old = placed(account(amount=9), offer)
    assert model(price={"credits": 1}).version == 1
    assert model(price={"credits": 2}).version == 2
    assert one("select model_version from jobs where id = %s", old) == (1,)
    assert rows("select version from models where id = 'test-model' and current") == [(2,)]


@pytest.mark.usefixtures("database")
def test_a_model_that_left_the_file_is_retired_only_if_asked() -> None:
    entry = STANDARD["sketch-image"].entry
    with transaction() as conn:
        assert entries.apply(conn, [entry]) == {}
        assert "sketch-video" in entries.apply(conn, [entry], retire_missing=True)
        assert list(entries.offers(conn)) == ["sketch-image"]


@pytest.mark.parametrize("text", [
    "", "[models.x]\nname='x'\nkind='image'\nroutes=[]\n", "not toml at all [",
    '[models.x]\nname="x"\nkind="image"\nroutes=[{provider="sketch",model="image"}]\ninput_schema={type="object",additionalProperties=false}',
    '[models.x]\nname="x"\nkind="image"\nprice={credits=1}\nroutes=[{provider="sketch",model="image"}]\ninput_schema={type="object"}',
])  # fmt: skip
def test_a_bad_file_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "catalogue.toml"
    path.write_text(text)
    with pytest.raises(ValueError):
        entries.read_file(path)


@pytest.mark.parametrize(("name", "values", "param", "words"), [
    ("sketch-image", {}, "input.prompt", "is required"),
    ("sketch-image", {"prompt": ""}, "input.prompt", "the limit is 1"),
    ("sketch-image", {"prompt": "x" * 2001}, "input.prompt", "is 2001 characters; the limit is 2000"),
    ("sketch-image", {"prompt": "x", "colour": 1}, "input.colour", "not a field"),
    ("sketch-image", {"prompt": 5}, "input.prompt", "not of type"),
    ("sketch-image", {"prompt": "x", "width": 9000}, "input.width", "is 9000; the limit is 2048"),
    ("sketch-image", {"prompt": "x", "count": 1.5}, "input.count", ""),
    ("sketch-image", {"prompt": "x", "count": 9}, "input.count", "is 9; the limit is 4"),
    ("sketch-image", {"prompt": "x", "format": "gif"}, "input.format", "not one of"),
    ("sketch-video", {"prompt": "x", "duration_seconds": 7}, "input.duration_seconds", "not one of 5, 10 or 15"),
])  # fmt: skip
def test_a_wrong_input_names_the_field_and_the_limit(
    name: str, values: dict[str, object], param: str, words: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        STANDARD[name].checked(values)
    assert caught.value.param == param
    assert words in caught.value.detail
    assert len(caught.value.detail) < 400


def test_too_many_pixels_are_refused_though_each_side_is_allowed() -> None:
    entry = STANDARD["sketch-image"].entry.model_copy(update={"max_pixels": 1000})
    with pytest.raises(InvalidInput, match="pixels"):
        entries.Offer(entry, 1).checked({"prompt": "x", "width": 100, "height": 100})


def test_defaults_are_filled_in() -> None:
    assert STANDARD["sketch-image"].checked({"prompt": "x"})["width"] == 768


LARGE = """
[models.big]
name = "big"
kind = "text"
routes = [{{ provider = "sketch", model = "image" }}]
price = {{ {price} }}
input_schema = {{ type = "object", additionalProperties = false, properties.n = {{ type = "integer"{maximum} }} }}
"""


def test_a_price_that_cannot_be_kept_is_refused_by_its_model_and_field(tmp_path: Path) -> None:
    path = tmp_path / "catalogue.toml"
    path.write_text(
        LARGE.format(price='unit = "token", credits = 3, quantity_field = "n"', maximum=", maximum = 9999999999")
    )
    with pytest.raises(ValueError, match=r"models\.big\.price\.quantity_field: the input_schema allows more than"):
        entries.read_file(path)


@pytest.mark.usefixtures("database")
def test_prices_are_checked_against_the_plans_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "catalogue.toml"
    path.write_text(LARGE.format(price='unit = "token", cost_usd_micros = 999999937, per = 1000000', maximum=""))
    file = entries.read_file(path)  # nothing is wrong on the standard plans
    with transaction() as conn:
        conn.execute("update plans set credit_price_usd_micros = 1000000, markup_bp = 8501 where id = 'pro'")
    for act in (lambda conn: entries.apply(conn, file.models), lambda conn: entries.compare(conn, file)):
        with (
            pytest.raises(InvalidInput, match=r"models\.big\.price\.cost_usd_micros: on plan pro"),
            transaction() as conn,
        ):
            act(conn)
    assert rows("select 1 from models where id = 'big'") == []


@pytest.mark.parametrize("field", [{"slots": 2**31}, {"result_hours": 2**31}, {"result_hours": 10**9}])
def test_numbers_that_would_stop_every_end_are_refused(field: dict[str, int]) -> None:
    body = STANDARD["sketch-image"].entry.model_dump() | field
    with pytest.raises(ValueError, match=next(iter(field))):
        entries.Entry.model_validate(body)


SIZED = {"type": "object", "additionalProperties": False, "properties": {"n": {}, "count": {}, "size": {}}}


def routed(**fields: str) -> entries.Entry:
    route = {"provider": "sketch", "model": "image", "fields": fields}
    return entries.Entry.model_validate(
        {"id": "x", "name": "x", "kind": "image", "price": {"credits": 1}, "input_schema": SIZED, "routes": [route]}
    )


@pytest.mark.parametrize(("fields", "said"), [
    ({"number": "amount"}, "routes.0.fields: input_schema has no 'amount'"),
    ({"number": "n", "images": "n"}, "a field of the input goes to two"),
    ({"count": "n"}, "'count' is a field of the input itself"),
])  # fmt: skip
def test_a_map_that_loses_or_mixes_fields_is_refused(fields: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        routed(**fields)


def test_a_route_calls_the_input_as_its_provider_does() -> None:
    entry = routed(count="n", n="count")
    assert entry.routes[0].renamed({"n": 2, "count": 3, "size": "x"}) == {"count": 2, "n": 3, "size": "x"}
    assert entries.body_of(entry)["routes"][0]["fields"] == {"count": "n", "n": "count"}
    assert "fields" not in entries.body_of(routed())["routes"][0], "a release before this one could not read it"
    assert "outputs" not in entries.body_of(routed())
