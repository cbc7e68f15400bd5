"""Trying a model: the price first, ordered once, files sent along, and what is wrong said at its field."""

import re
from collections.abc import Iterator
from html import unescape
from io import BytesIO
from typing import Any

import pytest
from httpx import Response
from PIL import Image
from starlette.testclient import TestClient

from api.services import services
from models.db import transaction
from tests.api.account.test_coming_in import come
from tests.api.console.house import console
from tests.support import account, assert_books_are_clean, balance, key_of, model, one, rows

pytestmark = [pytest.mark.usefixtures("database"), pytest.mark.filterwarnings("ignore::DeprecationWarning")]

SCHEMA: dict[str, Any] = {
    "type": "object", "additionalProperties": False, "required": ["prompt"],
    "properties": {
        "prompt": {"type": "string", "minLength": 1, "maxLength": 40, "description": "What to draw."},
        "count": {"type": "integer", "minimum": 1, "maximum": 4, "default": 1}, "style": {"enum": ["oil", "ink"], "default": "oil"},
        "sharp": {"type": "boolean", "default": True}, "image": {"type": "string", "format": "image"}, "more": {"type": "object"},
    },
}  # fmt: skip
HOSTILE = "<script>alert(1)</script>\"'><img src=x>"


@pytest.fixture
def http() -> Iterator[TestClient]:
    model(
        "picture",
        price={"unit": "image", "credits": 3, "quantity_field": "count"},
        input_schema=SCHEMA,
        description="Pictures.",
    )
    with console() as client:
        services(client.app).catalogue.load()  # type: ignore[arg-type]  # it is a FastAPI
        yield client


def typed(page: Response, **said: str) -> dict[str, str]:
    """What a browser sends of a page's form, with what somebody has typed."""
    body = page.text.split('<form class="card"')[1].split("</form>")[0]
    found = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', body))
    found |= dict(re.findall(r'<textarea[^>]* name="([^"]+)"[^>]*>\n([^<]*)</textarea>', body))
    found |= dict(
        re.findall(r'<input class="in[^"]*" id="[^"]+" name="([^"]+)" type="(?:text|number)" value="([^"]*)"', body)
    )
    for name, options in re.findall(r'<select class="in" id="[^"]+" name="([^"]+)"[^>]*>(.*?)</select>', body):
        found[name] = next(iter(re.findall(r'<option value="([^"]*)" selected', options)), "")
    found |= dict.fromkeys(
        re.findall(r'<input type="checkbox" id="[^"]+" name="([^"]+)" value="on" checked', body), "on"
    )
    return {name: unescape(value) for name, value in found.items()} | {
        f"in.{name}": value for name, value in said.items()
    }


def start(http: TestClient, amount: int = 50) -> tuple[Any, Response]:
    who = account(amount=amount)
    come(http, key_of(who))
    page = http.get("/account/try?model=picture")
    assert page.status_code == 200, page.text
    return who, page


def test_models_are_listed_with_their_prices(http: TestClient) -> None:
    come(http, key_of(account()))
    page = http.get("/account/try").text
    assert "3 credits per image" in page.replace("<small>", "")
    assert "/account/try?model=picture" in page
    assert http.get("/account/try?model=none").status_code in {404, 422}


def test_the_price_comes_first_and_then_the_order(http: TestClient) -> None:
    who, page = start(http)
    assert "Order for" not in page.text
    priced = http.post("/account/try/price", data=typed(page, prompt="A harbour", count="2"))
    assert priced.status_code == 200
    assert "Order for 6 credits" in priced.text
    assert "Available after: 44" in priced.text
    assert balance(who) == (50, 0)
    sent = typed(priced)
    assert (sent["in.prompt"], sent["in.count"], sent["in.style"], sent["in.sharp"]) == (
        "A harbour",
        "2",
        '"oil"',
        "on",
    )
    answers = [http.post("/account/try", data=sent) for _ in range(3)]
    assert {each.status_code for each in answers} == {303}
    assert len({each.headers["location"] for each in answers}) == 1
    assert rows("select input, price_credits from jobs") == [
        ({"prompt": "A harbour", "count": 2, "style": "oil", "sharp": True}, 6)
    ]  # fmt: skip
    assert balance(who) == (44, 6)
    bench = http.get(answers[0].headers["location"]).text
    assert "Queued" in bench
    assert '<noscript><meta http-equiv="refresh"' in bench
    assert 'value="A harbour"' in bench
    assert_books_are_clean()


@pytest.mark.parametrize("change", [{"count": "4"}, {"prompt": "Another"}, {"sharp": ""}])
def test_what_was_changed_after_the_price_is_not_ordered_before_its_price_is_seen(
    http: TestClient, change: dict[str, str]
) -> None:
    who, page = start(http)
    priced = http.post("/account/try/price", data=typed(page, prompt="A harbour"))
    shown = http.post("/account/try", data=typed(priced, **change))
    assert (shown.status_code, "See the price first" in shown.text) == (200, True)
    assert one("select count(*) from jobs") == (0,)
    assert http.post("/account/try", data=typed(shown)).status_code == 303
    assert one("select count(*) from jobs") == (1,)
    assert balance(who)[1] == (12 if "count" in change else 3)


def test_a_price_that_has_changed_meanwhile_is_shown_before_it_is_paid(http: TestClient) -> None:
    who, page = start(http)
    priced = http.post("/account/try/price", data=typed(page, prompt="A harbour"))
    model("picture", price={"unit": "image", "credits": 9, "quantity_field": "count"}, input_schema=SCHEMA)
    services(http.app).catalogue.load()  # type: ignore[arg-type]  # it is a FastAPI
    shown = http.post("/account/try", data=typed(priced))
    assert "Order for 9 credits" in shown.text
    assert balance(who) == (50, 0)


def test_a_price_that_a_plan_has_changed_is_shown_before_it_is_paid(http: TestClient) -> None:
    """The model is the same one, of the same version."""
    model("picture", price={"unit": "job", "cost_usd_micros": 40_000}, input_schema=SCHEMA)
    services(http.app).catalogue.load()  # type: ignore[arg-type]  # it is a FastAPI
    who, page = start(http, amount=5000)
    priced = http.post("/account/try/price", data=typed(page, prompt="A harbour"))
    before = re.search(r"Order for (\d+) credit", priced.text)
    assert before is not None, priced.text
    with transaction() as conn:
        conn.execute(
            "update plans set markup_bp = markup_bp + 100000 where id = (select plan_id from accounts where id = %s)",
            [who],
        )
    shown = http.post("/account/try", data=typed(priced))
    after = re.search(r"Order for (\d+) credit", shown.text)
    assert after is not None, shown.text
    assert int(after[1]) > int(before[1])
    assert balance(who) == (5000, 0)


@pytest.mark.parametrize(("said", "name", "words"), [
    ({"prompt": ""}, "prompt", "is required"), ({"prompt": "x" * 41}, "prompt", "41 characters; the limit is 40"), ({"prompt": "a", "count": "5"}, "count", "is 5; the limit is 4"),
    ({"prompt": "a", "count": "x"}, "count", "must be a whole number"), ({"prompt": "a", "style": '"chalk"'}, "style", "none of its choices"),
    ({"prompt": "a", "more": "{"}, "more", "must be JSON"), ({"prompt": "a", "more": "[1]"}, "more", "object"),
])  # fmt: skip
def test_what_is_wrong_is_said_at_its_field_and_the_rest_is_kept(
    http: TestClient, said: dict[str, str], name: str, words: str
) -> None:
    _, page = start(http)
    for path in ("/account/try/price", "/account/try"):
        answer = http.post(path, data=typed(page, **said))
        assert answer.status_code == 422
        alert = re.search(r'<span class="error"[^>]*>.*?</svg>([^<]*)</span>', answer.text)
        assert alert is not None, answer.text
        assert words in unescape(alert[1])
        assert f"input.{name}" in alert[1]
        assert 'aria-invalid="true"' in answer.text
        assert typed(answer)["in.prompt"] == said["prompt"]
    assert one("select count(*) from jobs") == (0,)


def test_a_private_address_and_a_foreign_file_are_refused_at_the_order(http: TestClient) -> None:
    _, page = start(http)
    for given, status in (("http://169.254.169.254/x", 422), ("file_" + "0" * 32, 404), ("ftp://x.example/", 422)):
        priced = http.post("/account/try/price", data=typed(page, prompt="a", image=given))
        answer = http.post("/account/try", data=typed(priced))
        assert answer.status_code == status
        assert "input.image" in answer.text or "file" in answer.text
    assert one("select count(*) from jobs") == (0,)


def test_too_few_credits_are_said_before_anything_is_ordered(http: TestClient) -> None:
    _, page = start(http, amount=2)
    priced = http.post("/account/try/price", data=typed(page, prompt="a"))
    assert "Only 2 are available" in priced.text
    answer = http.post("/account/try", data=typed(priced))
    assert (answer.status_code, 'role="alert"' in answer.text) == (402, True)
    assert one("select count(*) from jobs") == (0,)


def test_strangers_words_are_text(http: TestClient) -> None:
    _, page = start(http)
    priced = http.post("/account/try/price", data=typed(page, prompt=HOSTILE[:40]))
    with transaction() as conn:
        conn.execute(
            "update models set entry = jsonb_set(jsonb_set(entry, '{name}', to_jsonb(%s::text)), '{description}', to_jsonb(%s::text))",
            [HOSTILE, HOSTILE],
        )
    model(
        "odd",
        input_schema={
            "type": "object",
            "additionalProperties": False,
            "properties": {
                HOSTILE: {
                    "type": "string",
                    "title": HOSTILE,
                    "description": HOSTILE,
                    "enum": [HOSTILE],
                    "default": HOSTILE,
                }
            },
        },
    )
    services(http.app).catalogue.load()  # type: ignore[arg-type]  # it is a FastAPI
    for text in (priced.text, http.get("/account/try").text, http.get("/account/try?model=odd").text):
        assert "<script>alert" not in text
        assert "<img src=x" not in text
        assert not re.search(r"<script(?![^>]*src=)|<style|\son\w+=\"|style=", text)


def test_a_file_is_sent_along_and_becomes_the_fields_id(http: TestClient) -> None:
    _, page = start(http)
    out = BytesIO()
    Image.new("RGB", (64, 64), "teal").save(out, "PNG")
    picture = out.getvalue()
    sent = http.post(
        "/account/try/upload", data=typed(page, prompt="kept"), files={"up.image": ("a.png", picture, "image/png")}
    )
    assert sent.status_code == 200, sent.text
    fields = typed(sent)
    assert fields["in.image"].startswith("file_")
    assert fields["in.prompt"] == "kept"
    priced = http.post("/account/try/price", data=fields)
    assert http.post("/account/try", data=typed(priced)).status_code == 303
    assert one("select input->>'image' from jobs") == (fields["in.image"],)
    wrong = http.post(
        "/account/try/upload", data=typed(page), files={"up.image": ("a.png", b"no picture", "image/png")}
    )
    assert (wrong.status_code, 'aria-invalid="true"' in wrong.text) == (422, True)
    plain = http.post("/account/try/upload", data=typed(page))
    assert plain.status_code == 422
