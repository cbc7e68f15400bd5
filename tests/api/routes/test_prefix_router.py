"""How many routes a request is held against: those of its own words, however many others there are."""

import pytest
from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.routing import Match
from starlette.types import Scope

from api.edge.pace import HEALTH
from api.main import INCLUDED, ROUTERS
from api.routes.prefix_router import PrefixRouter, common_words

ID = "01a1fd03-f4e4-7365-bf9d-4827335166ca"
PATHS = sorted({route.path_format for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)})


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths of the routes that were held against requests."""
    found: list[str] = []
    real = APIRoute.matches

    def noted(route: APIRoute, scope: Scope) -> tuple[Match, Scope]:
        found.append(route.path_format)
        return real(route, scope)

    monkeypatch.setattr(APIRoute, "matches", noted)
    return found


def ask(path: str, method: str = "GET", root: str = "") -> Match:
    """What the framework does with a request until it has its route."""
    scope = {"type": "http", "method": method, "path": path, "root_path": root}
    return next((match for each in INCLUDED.routes if (match := each.matches(scope)[0]) == Match.FULL), Match.NONE)


@pytest.mark.parametrize(
    ("method", "path", "most"),
    [
        ("POST", "/v1/jobs", 5),
        ("GET", f"/v1/jobs/{ID}", 7),
        ("POST", "/compat/replicate/v1/models/headrace/bench/predictions", 8),
        ("GET", f"/compat/replicate/v1/predictions/{ID}", 8),
        ("GET", f"/compat/openai/v1/videos/{ID}", 8),
        ("POST", "/compat/fal/queue/headrace/bench", 16),
        ("GET", f"/compat/fal/queue/headrace/bench/requests/{ID}/status", 16),
    ],
)
def test_hot_requests_are_held_against_few_routes(asked: list[str], method: str, path: str, most: int) -> None:
    assert ask(path, method) == Match.FULL
    assert len(asked) <= most, asked


def test_a_request_is_held_against_routes_of_its_own_words_alone(asked: list[str]) -> None:
    for path in PATHS:
        ask(path.replace("{", "").replace("}", "").replace(":path", ""))
        others = [each for each in asked if each.split("/")[1] != path.split("/")[1] and each not in HEALTH]
        assert not others, path
        asked.clear()


def test_where_an_outer_server_keeps_part_of_the_path_it_is_not_compared(asked: list[str]) -> None:
    assert ask(f"/outer/v1/jobs/{ID}", root="/outer") == Match.FULL
    assert asked


def test_every_router_is_one_that_is_passed_by() -> None:
    assert [each for each in ROUTERS if not isinstance(each, PrefixRouter)] == []
    assert {common_words(each.routes) for each in ROUTERS} & {"/", ""} == set()


def test_what_is_added_later_counts() -> None:
    router, outer = PrefixRouter(), APIRouter()

    @router.get("/one/a")
    def _first() -> None: ...

    outer.include_router(router)
    scope = {"type": "http", "method": "GET", "path": "/two", "root_path": ""}
    assert outer.routes[0].matches(scope)[0] == Match.NONE

    @router.get("/two")
    def _second() -> None: ...

    assert outer.routes[0].matches(scope)[0] == Match.FULL
