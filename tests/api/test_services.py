"""Routes have one way: the typed services, and an endpoint that is the code that runs."""

import ast
from inspect import unwrap
from pathlib import Path

import pytest

from api.main import ROUTERS, make_app, needs_of
from api.routes.fast_routes import FastRoute

API = Path(__file__).resolve().parents[2] / "api"


def untyped(text: str) -> list[int]:
    """The lines that look into an app's `state`, which no type checker sees into."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Attribute)
        and node.attr == "state"
        and "app" in {getattr(node.value, "attr", ""), getattr(node.value, "id", "")}
    ]


def test_a_look_into_the_apps_state_is_seen() -> None:
    assert untyped("x = 1\ny = request.app.state.live") == [2]
    assert untyped("app.state.live = 1") == [1]
    assert untyped("self.state = app.statement") == []


def test_only_the_services_are_in_the_apps_state() -> None:
    found = {str(path.relative_to(API)): lines for path in API.rglob("*.py") if (lines := untyped(path.read_text()))}
    assert {name: len(lines) for name, lines in found.items()} == {"services.py": 2}  # where it is kept, and read


FAST = [route for router in ROUTERS for route in router.routes if isinstance(route, FastRoute)]


@pytest.mark.parametrize("route", FAST, ids=lambda route: route.name)
def test_a_fast_routes_endpoint_is_the_code_that_runs(route: FastRoute) -> None:
    assert unwrap(route.get_route_handler()) is route.endpoint  # of a GET, once its address is looked at
    assert route.endpoint.__code__.co_varnames[:1] == ("request",)
    assert {"permitted", "listener_of"} & set(route.endpoint.__code__.co_names), "nobody asks who calls"
    assert route.endpoint.__doc__


def test_every_fast_route_says_what_it_needs() -> None:
    needs = {(path, method): need for path, method, need in needs_of(make_app())}
    assert len(FAST) == 16
    for route in FAST:
        for method in route.methods:
            assert needs[(route.path, method.lower())] == route.endpoint.need
