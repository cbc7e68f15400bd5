"""Forms made from JSON Schemas: what each rule becomes, and what a filled form means. And the same order by program."""

import ast
import json
import shlex
from typing import Any

import pytest

from api.account.input_forms import InputField, fields_of, filled, input_of, written_value
from api.account.snippets import snippets_of
from common.errors import InvalidInput
from models.catalogue.entries import STANDARD_FILE, Offer, read_file

X = "in.x"


def field(rule: Any, *, required: bool = False) -> InputField:
    return fields_of({"type": "object", "properties": {"x": rule}, "required": ["x"] if required else []})[0]


@pytest.mark.parametrize(("rule", "required", "kind"), [
    ({"type": "string", "maxLength": 60}, True, "text"), ({"type": "string", "maxLength": 2000}, True, "area"), ({"type": "string"}, False, "area"),
    ({"type": "string", "format": "image"}, False, "file"), ({"type": "string", "format": "audio"}, True, "file"), ({"type": "string", "format": "date"}, True, "area"),
    ({"type": "integer"}, False, "number"), ({"type": "number"}, False, "number"), ({"type": "boolean"}, True, "check"),
    ({"type": "boolean", "default": True}, False, "check"), ({"type": "boolean"}, False, "select"), ({"enum": ["a", "b"]}, True, "choices"),
    ({"enum": ["a", "b"]}, False, "select"), ({"enum": list(range(9))}, True, "select"), ({"const": 3}, True, "choices"),
    ({"type": "array", "items": {"type": "string"}}, False, "list"), ({"type": "array", "items": {"type": "integer"}}, False, "list"),
    ({"type": "array", "items": {"type": "object"}}, False, "json"), ({"type": "array"}, False, "json"), ({"type": "array", "items": True}, False, "json"),
    ({"type": "object", "properties": {"y": {"type": "string"}}}, False, "json"), ({"oneOf": [{"type": "string"}, {"type": "integer"}]}, False, "json"),
    ({"type": ["string", "integer"]}, False, "json"), ({"type": ["integer", "null"]}, False, "number"), ({"anyOf": [{"type": "number"}, {"type": "null"}]}, False, "number"),
    ({"anyOf": [{"type": "number"}, {"type": "string"}]}, False, "json"), ({"$ref": "#/$defs/a"}, False, "json"), ({}, False, "json"), (True, False, "json"), (False, False, "json"),
])  # fmt: skip
def test_each_rule_becomes_a_field(rule: Any, required: bool, kind: str) -> None:
    assert field(rule, required=required).kind == kind


def test_a_schema_without_properties_is_a_form_without_fields() -> None:
    assert fields_of({"type": "object", "additionalProperties": False}) == []
    assert fields_of({"type": "object", "properties": {}, "required": ["x"], "oneOf": [{}]}) == []
    assert input_of([], {"in.x": "1"}) == {}


def test_what_is_required_comes_first_and_words_are_the_schemas() -> None:
    made = fields_of({"properties": {"a_b": {"type": "string", "description": "What."}, "c": {"type": "string", "title": "See"}}, "required": ["c"]})  # fmt: skip
    assert [(each.name, each.label, each.hint, each.required) for each in made] == [
        ("c", "See", "", True), ("a_b", "A b", "What.", False)
    ]  # fmt: skip


@pytest.mark.parametrize(("rule", "wanted"), [
    ({"type": "integer", "minimum": 1, "maximum": 8}, ("1", "8", "1", "1 to 8")), ({"type": "number", "minimum": 0.5}, ("0.5", "", "any", "at least 0.5")),
    ({"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 10}, ("1", "9", "1", "1 to 9")),
    ({"type": "integer", "minimum": 1, "maximum": 64, "multipleOf": 8}, ("8", "64", "8", "1 to 64, in steps of 8")), ({"type": "number"}, ("", "", "any", "")),
])  # fmt: skip
def test_bounds_of_numbers_are_in_the_field_and_said(rule: dict[str, Any], wanted: tuple[str, ...]) -> None:
    made = field(rule)
    assert (made.least, made.most, made.step, made.hint) == wanted


@pytest.mark.parametrize(("rule", "required", "text", "value"), [
    ({"type": "string"}, True, "2024", "2024"), ({"type": "string"}, True, "a\r\nb ", "a\nb "), ({"type": "integer"}, True, " 12 ", 12), ({"type": "integer"}, True, "-3", -3),
    ({"type": "number"}, True, "0.5", 0.5), ({"type": "number"}, True, "3", 3), ({"type": "number"}, True, "1e3", 1000.0), ({"enum": [1, "1", None]}, True, '"1"', "1"),
    ({"enum": [1, "1", None]}, True, "1", 1), ({"enum": [1, "1", None]}, True, "null", None), ({"type": "boolean"}, True, "on", True), ({"type": "boolean"}, True, "", False),
    ({"type": "boolean"}, False, "false", False), ({"type": "array", "items": {"type": "string"}}, False, "a\r\n\r\n b \n2", ["a", "b", "2"]),
    ({"type": "array", "items": {"type": "integer"}}, False, "1\n2", [1, 2]), ({"type": "object"}, False, '{"y": [1, {"z": null}]}', {"y": [1, {"z": None}]}),
    ({"type": "string", "format": "image"}, True, " https://a.example/x.png ", "https://a.example/x.png"),
])  # fmt: skip
def test_what_is_typed_is_what_the_schema_means(rule: Any, required: bool, text: str, value: Any) -> None:
    found = input_of([field(rule, required=required)], {X: text})
    assert found == {"x": value}
    assert type(found["x"]) is type(value)


def test_what_is_left_empty_is_left_out() -> None:
    for rule in (
        {"type": "string"},
        {"type": "integer"},
        {"type": "boolean"},
        {"enum": ["a"]},
        {"type": "object"},
        {"type": "array", "items": {"type": "string"}},
    ):
        assert input_of([field(rule)], {X: " "}) == {}
        assert input_of([field(rule)], {}) == {}


@pytest.mark.parametrize(("rule", "text", "said"), [
    ({"type": "integer"}, "1.5", "a whole number"), ({"type": "integer"}, "x" * 400, "a whole number"), ({"type": "integer"}, "9" * 400, "a whole number"), ({"type": "integer"}, "1_0", "a whole number"),
    ({"type": "integer"}, "١", "a whole number"), ({"type": "number"}, "nan", "a number"), ({"type": "number"}, "inf", "a number"), ({"type": "number"}, "1e999", "a number"),
    ({"enum": ["a", "b"]}, "a", "none of its choices: a, b"), ({"type": "boolean"}, "maybe", "none of its choices"), ({"type": "object"}, "{", "must be JSON"),
    ({"type": "object"}, "NaN", "no JSON"), ({"type": "object"}, "[" * 100_000, "must be JSON"), ({"type": "array", "items": {"type": "number"}}, "1\nx", "a number, not 'x'"),
])  # fmt: skip
def test_what_means_nothing_names_its_field(rule: Any, text: str, said: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        input_of([field(rule)], {X: text})
    assert caught.value.param == "input.x"
    assert said in caught.value.detail
    assert len(caught.value.detail) < 500


def test_every_model_that_we_sell_has_a_form_that_means_its_defaults() -> None:
    for entry in read_file(STANDARD_FILE).models:
        made = fields_of(entry.input_schema)
        assert {each.name for each in made} == set(entry.input_schema["properties"])
        # Parameters of other houses may be objects, which are written as JSON.
        assert entry.aliases or not [each for each in made if each.kind == "json"], entry.id
        said = {
            f"in.{each.name}": "on" if each.value == "true" and each.kind == "check" else each.value for each in made
        }
        said = {name: value for name, value in said.items() if value != "false"}
        found = input_of(made, said)
        defaults = {
            name: rule["default"] for name, rule in entry.input_schema["properties"].items() if "default" in rule
        }
        assert {name: found[name] for name in defaults} == defaults
        again = filled(fields_of(entry.input_schema), said)
        assert input_of(again, said) == found
        needed = {name: "x" for name in entry.input_schema.get("required", ()) if name not in found}
        if not set(needed) & set(entry.file_fields()):
            Offer(entry, 1).checked({**found, **needed})


def test_an_input_fills_the_form_as_it_was() -> None:
    schema = {"properties": {"a": {"type": "array", "items": {"type": "integer"}}, "b": {"type": "object"}, "c": {"enum": ["x", 1]}, "d": {"type": "boolean", "default": True}}, "required": ["c"]}  # fmt: skip
    values = {"a": [1, 2], "b": {"y": "é"}, "c": 1, "d": False}
    made = fields_of(schema, values)
    said = {f"in.{each.name}": each.value for each in made if each.kind != "check"}
    assert input_of(made, said) == values
    assert written_value(made[0], None) == ""


HARD = {
    "prompt": 'it\'s a "harbour" $HOME `id` \\ \n é\u2028</script>',
    "seed": 7,
    "on": True,
    "none": None,
    "list": [1.5, "x"],
}


def test_requests_by_program_say_exactly_the_order() -> None:
    curl, python, javascript = snippets_of("https://api.example.com/x", "a/model", HARD, "order-1")
    words = shlex.split(curl.text.replace("\\\n", " "))
    assert words[:2] == ["curl", "https://api.example.com/x/v1/jobs"]
    assert json.loads(words[words.index("-d") + 1]) == {"model": "a/model", "input": HARD}
    assert "Authorization: Bearer $HEADRACE_API_KEY" in words
    tree = ast.parse(python.text)
    call = next(
        node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == "httpx.post"
    )
    body = next(each.value for each in call.keywords if each.arg == "json")
    assert ast.literal_eval(body) == {"model": "a/model", "input": HARD}
    said = javascript.text.split("JSON.stringify(")[1].rsplit("),\n});", 1)[0]
    assert json.loads(said) == {"model": "a/model", "input": HARD}
    assert "HEADRACE_API_KEY" in python.text
    assert "HEADRACE_API_KEY" in javascript.text
