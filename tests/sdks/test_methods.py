"""The table of methods is whole: each method of each library has its rule, and each rule its methods and its test."""

import ast
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from tests.sdks.methods import PAGE, methods, page, rule_of, rules

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("library", ["replicate", "openai", "fal-client"])
def test_every_method_has_its_rule_and_every_rule_its_methods(library: str) -> None:
    names = next(found for name, found in methods().items() if name.split()[0] == library)
    assert len(names) > 10
    assert [name for name in names if rule_of(library, name) is None] == []
    idle = [rule.pattern for rule in rules()[library] if not any(fnmatchcase(name, rule.pattern) for name in names)]
    assert idle == []


def test_the_tests_that_rules_name_are_there() -> None:
    missing = []
    for rule in (rule for found in rules().values() for rule in found):
        file, _, name = rule.test.partition("::")
        path = ROOT / file
        defined = (
            {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)}
            if path.is_file()
            else set()
        )
        if name not in defined:
            missing.append(rule.test)
    assert missing == []


def test_the_page_is_what_the_libraries_say() -> None:
    assert PAGE.read_text() == page(), "python -m tests.sdks.methods --write"
