"""Plans and packs: as the specification has them, read from a catalogue file, and written only as asked."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlmodel import Session

from common.errors import InvalidInput, NotFound
from models.catalogue import entries, packs, plans
from models.catalogue.entries import STANDARD_FILE, CatalogueFile
from models.db import session, transaction
from models.schema import prepare
from tests.conftest import environment
from tests.models.hands import change
from tests.support import one, rows

pytestmark = pytest.mark.usefixtures("database")

STANDARD = {plan.id: plan for plan in entries.read_file(STANDARD_FILE).plans}
BY_PRODUCT = {
    "cineweave": ("starter", "creator", "studio"), "pixorly": ("free", "pro", "enterprise"), "web": ("web-free",),
    "reimaji": ("reimaji-pro",),
}  # fmt: skip
MODEL = """
[models.m]
name = "m"
kind = "image"
routes = [{ provider = "sketch", model = "image" }]
price = { unit = "second", cost_usd_micros = 999999937, per = 1000000 }
input_schema = { type = "object", additionalProperties = false }
"""
PLAN = {
    "name": '"Gold"', "position": "9", "credits": "100", "credit_price_usd_micros": "100000", "markup_bp": "0",
    "storage_quota_bytes": "1", "slots": "1",
}  # fmt: skip
PACK = {"name": '"Ten"', "position": "0", "credits": "10", "prices": '{ USD = "1.50" }'}


def section(name: str, fields: dict[str, str], **given: str | None) -> str:
    lines = [f"{key} = {value}" for key, value in {**fields, **given}.items() if value is not None]
    return "\n".join([f"[{name}]", *lines, ""])


def read(folder: Path, *sections: str) -> CatalogueFile:
    path = folder / "catalogue.toml"
    path.write_text(MODEL + "\n".join(sections))
    return entries.read_file(path)


def applied(file: CatalogueFile) -> dict[str, str]:
    with transaction() as conn:
        return entries.apply(conn, file.models, file.providers, plan_entries=file.plans, pack_entries=file.packs)


def compared(file: CatalogueFile) -> list[Any]:
    with transaction() as conn:
        return [tuple(each) for each in entries.compare(conn, file) if each.section in ("plans", "packs")]


# What is written where


def test_a_missing_plan_is_written_and_one_that_was_changed_stays_as_it_is_until_a_file_is_applied() -> None:
    change("update plans set credits = 7, name = 'Ours' where id = 'pro'")
    change("delete from plans where id in ('studio', 'creator')")
    prepare.prepare()
    assert one("select name, credits from plans where id = 'pro'") == ("Ours", 7)
    assert one("select credits, slots, granted from plans where id = 'studio'") == (500, 10, "monthly")
    assert len(rows("select 1 from plans")) == len(STANDARD)
    prepare.prepare(STANDARD_FILE)
    assert one("select name, credits from plans where id = 'pro'") == ("Pro", 500)


def test_every_field_of_a_plan_is_written() -> None:
    change("delete from plans")
    with transaction() as conn:
        assert plans.add_missing(conn, STANDARD.values()) == len(STANDARD)
        assert plans.add_missing(conn, STANDARD.values()) == 0
    kept = {row[0]: row[1] for row in rows("select id, to_jsonb(p) from plans p")}
    assert kept == {id_: {**plan.model_dump(), "price_cents": plan.price_cents} for id_, plan in STANDARD.items()}


def test_plans_of_a_product_are_in_their_order_each_at_least_the_one_before_it() -> None:
    assert sorted(plan.position for plan in STANDARD.values()) == list(range(len(STANDARD)))
    for product, names in BY_PRODUCT.items():
        found = sorted((plan for plan in STANDARD.values() if plan.product == product), key=lambda plan: plan.position)
        assert tuple(plan.id for plan in found) == names
        for less, more in pairwise(found):
            assert less.slots < more.slots
            assert less.credits <= more.credits
            assert less.storage_quota_bytes <= more.storage_quota_bytes
            assert less.markup_bp >= more.markup_bp
    assert sum(map(len, BY_PRODUCT.values())) == len(STANDARD)


def test_the_numbers_of_the_spec() -> None:
    """A5, B2, C3, D3, D4."""
    priced = {id_: (plan.credits, plan.prices, plan.price_cents) for id_, plan in STANDARD.items()}
    assert priced["starter"] == (80, {"monthly": {"USD": "10.00"}}, 1000)
    assert priced["creator"] == (250, {"monthly": {"USD": "31.00"}}, 3100)
    assert priced["studio"] == (500, {"monthly": {"USD": "60.00"}}, 6000)
    assert [STANDARD[each].markup_bp for each in BY_PRODUCT["cineweave"]] == [8500, 7500, 7000]
    assert priced["free"] == (10, {}, 0)
    assert priced["pro"] == (500, {"monthly": {"USD": "29.00"}}, 2900)
    assert priced["enterprise"] == (2000, {}, None)
    assert [STANDARD[each].storage_quota_bytes for each in BY_PRODUCT["pixorly"]] == [10**9, 10**11, 5 * 10**11]
    assert {id_: plan.token_allowance for id_, plan in STANDARD.items() if plan.token_allowance} == {"web-free": 50_000}
    reimaji = STANDARD["reimaji-pro"]
    assert ({k: list(v) for k, v in reimaji.prices.items()}, reimaji.price_cents) == (
        {"monthly": ["IDR"], "yearly": ["IDR"]}, None,
    )  # fmt: skip
    assert [id_ for id_, plan in STANDARD.items() if plan.trial_days] == ["reimaji-pro"]
    assert [id_ for id_, plan in STANDARD.items() if plan.granted == "once"] == ["free", "web-free"]
    assert [id_ for id_, plan in STANDARD.items() if plan.daily_text_jobs is not None] == ["free"]


@pytest.mark.parametrize("wrong", [
    "credits = -1", "price_cents = -1", "markup_bp = -1", "credit_price_usd_micros = 0", "slots = 0", "granted = 'weekly'",
    "priority = 101", "priority = -101", "token_allowance = -1", "trial_days = -1", "grace_days = -1", "result_hours = -1",
    "result_hours = 876001",
])  # fmt: skip
def test_a_plan_that_makes_no_sense_is_refused_by_the_database(wrong: str) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        change(f"update plans set {wrong} where id = 'pro'")


# What a file may say


@pytest.mark.parametrize(("given", "said"), [
    ({"prices": '{ monthly = { USD = 10.0 } }'}, "plans.gold.prices.monthly.USD: Input should be a valid string"),
    ({"prices": '{ monthly = { USD = "0.00" } }'}, "plans.gold.prices.monthly.USD: more than nothing"),
    ({"prices": '{ monthly = { USD = "-1" } }'}, "plans.gold.prices.monthly.USD: a decimal in quotes"),
    ({"prices": '{ monthly = { USD = "1e3" } }'}, "plans.gold.prices.monthly.USD: a decimal in quotes"),
    ({"prices": '{ monthly = { USD = "1.00001" } }'}, "plans.gold.prices.monthly.USD: a decimal in quotes"),
    ({"prices": '{ monthly = { USD = "1." } }'}, "plans.gold.prices.monthly.USD: a decimal in quotes"),
    ({"prices": '{ monthly = { USD = "NaN" } }'}, "plans.gold.prices.monthly.USD: a decimal in quotes"),
    ({"prices": '{ monthly = { USD = "12345678901234567" } }'}, "plans.gold.prices.monthly.USD: a decimal in quotes"),
    ({"prices": '{ monthly = { USD = "\u0661" } }'}, "plans.gold.prices.monthly.USD: a decimal in quotes"),
    ({"prices": '{ monthly = { usd = "1" } }'}, "plans.gold.prices.monthly.usd"),
    ({"prices": '{ weekly = { USD = "1" } }'}, "plans.gold.prices.weekly"),
    ({"prices": '{ monthly = {} }'}, "plans.gold.prices.monthly"),
    ({"granted": '"once"', "prices": '{ monthly = { USD = "1" } }'}, "plans.gold: what is granted once"),
    ({"granted": '"once"', "trial_days": "7"}, "plans.gold: what is granted once"),
    ({"slots": "0"}, "plans.gold.slots"), ({"priority": "101"}, "plans.gold.priority"),
    ({"grace_days": "-1"}, "plans.gold.grace_days"), ({"result_hours": "-1"}, "plans.gold.result_hours"),
    ({"product": '"My Product"'}, "plans.gold.product"), ({"colour": '"red"'}, "plans.gold.colour"),
    ({"credits": None}, "plans.gold.credits: is missing"),
])  # fmt: skip
def test_a_plan_that_makes_no_sense_is_refused_by_its_field(tmp_path: Path, given: dict[str, Any], said: str) -> None:
    assert read(tmp_path, section("plans.gold", PLAN)).plans[0].id == "gold"
    with pytest.raises(ValueError) as caught:
        read(tmp_path, section("plans.gold", PLAN, **given))
    assert said in str(caught.value)


@pytest.mark.parametrize(("given", "said"), [
    ({"credits": "0"}, "packs.ten.credits"), ({"prices": "{ USD = 1.5 }"}, "packs.ten.prices.USD"),
    ({"expires_days": "0"}, "packs.ten.expires_days"), ({"granted": '"once"'}, "packs.ten.granted"),
])  # fmt: skip
def test_a_pack_that_makes_no_sense_is_refused_by_its_field(tmp_path: Path, given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError) as caught:
        read(tmp_path, section("packs.ten", PACK, **given))
    assert said in str(caught.value)


def test_an_id_has_one_meaning_in_a_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"packs\.gold: there is a \[plans\.gold\] too"):
        read(tmp_path, section("plans.gold", PLAN), section("packs.gold", PACK))
    with pytest.raises(ValueError, match="coupons: unknown; there are"):
        read(tmp_path, section("coupons.gold", PACK))


@pytest.mark.parametrize(("first", "then", "said"), [
    (section("plans.gold", PLAN), section("packs.gold", PACK), "packs.gold: 'gold' is one of the plans"),
    (section("packs.gold", PACK), section("plans.gold", PLAN), "plans.gold: 'gold' is one of the packs"),
    (section("plans.gold", PLAN, product='"a"'), section("plans.gold", PLAN, product='"b"'), "plans.gold.product: 'gold' is a's"),
    (section("packs.gold", PACK, product='"a"'), section("packs.gold", PACK, product='"b"'), "packs.gold.product: 'gold' is a's"),
])  # fmt: skip
def test_an_id_has_one_meaning_from_one_file_to_the_next(tmp_path: Path, first: str, then: str, said: str) -> None:
    applied(read(tmp_path, first))
    file = read(tmp_path, then)
    for act in (applied, compared):
        with pytest.raises(InvalidInput) as caught:
            act(file)
        assert said in caught.value.detail


def test_plans_and_packs_of_a_file_are_compared_field_by_field_and_written_once(tmp_path: Path) -> None:
    named = section("plans.gold", PLAN, prices='{ monthly = { USD = "9.00", IDR = "150000" } }')
    first = read(tmp_path, named, section("packs.ten", PACK))
    assert compared(first) == [("plans", "gold", "new", []), ("packs", "ten", "new", [])]
    assert applied(first) == {"plans.gold": "new", "packs.ten": "new", "m": "new"}
    assert compared(first) == []
    assert applied(first) == {}
    dearer = named.replace('"9.00"', '"9.50"').replace("slots = 1", "slots = 2") + 'product = "ours"\n'
    then = read(tmp_path, dearer, section("packs.ten", PACK, prices="{}"))
    fields = [("product", "headrace", "ours"), ("prices.monthly.USD", "9.00", "9.50"), ("slots", 1, 2)]
    assert compared(then) == [
        ("plans", "gold", "changed", fields), ("packs", "ten", "changed", [("prices.USD", "1.50", None)]),
    ]  # fmt: skip
    assert applied(then) == {"plans.gold": "changed", "packs.ten": "changed"}
    assert one("select prices->'monthly'->>'USD', price_cents, slots from plans where id = 'gold'") == ("9.50", 950, 2)
    assert one("select prices, credits from packs where id = 'ten'") == ({}, 10)


def test_a_plan_on_which_a_current_model_cannot_be_priced_is_refused_though_the_file_names_no_model(
    tmp_path: Path,
) -> None:
    applied(read(tmp_path))
    gold = plans.PlanEntry(
        id="gold", name="g", position=9, credits=1, credit_price_usd_micros=999_999_999_989, markup_bp=8501,
        storage_quota_bytes=1, slots=1,
    )  # fmt: skip
    with pytest.raises(InvalidInput, match=r"models\.m\.price\.cost_usd_micros: on plan gold"), transaction() as conn:
        entries.apply(conn, [], plan_entries=[gold])
    assert rows("select 1 from plans where id = 'gold'") == []


def test_the_example_of_a_pack_is_one() -> None:
    text = STANDARD_FILE.read_text()
    example = text[text.index("#: [packs.credits-100]") :].partition("\n\n")[0].replace("#: ", "")
    assert "prices" in example
    assert list(
        packs.PackEntry.model_validate({**entries.tomllib.loads(example)["packs"]["credits-100"], "id": "c"}).prices
    )


# What a deployment shows


def shown(opened: Session) -> tuple[list[str], list[str]]:
    found = plans.page_of_plans(opened, after=None, limit=50), packs.page_of_packs(opened, after=None, limit=50)
    return [each.id for each in found[0]], [each.id for each in found[1]]


def test_a_deployment_shows_the_plans_and_packs_of_its_products(tmp_path: Path) -> None:
    others = section("packs.web-ten", PACK, product='"web"', position="1")
    applied(read(tmp_path, section("packs.ten", PACK), section("packs.old", PACK, prices="{}"), others))
    with session() as opened:
        assert shown(opened) == (sorted(STANDARD, key=lambda id_: STANDARD[id_].position), ["ten", "web-ten"])
    with environment({"PRODUCTS": "pixorly, web"}), session() as opened:
        assert shown(opened) == (["free", "pro", "enterprise", "web-free"], ["web-ten"])
        assert plans.find_plan(opened, "pro").product == "pixorly"
        for act in (lambda: plans.find_plan(opened, "starter"), lambda: packs.find_pack(opened, "ten")):
            with pytest.raises(NotFound):
                act()
