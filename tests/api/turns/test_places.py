"""Each kind of slow work has its own threads: one that is full is refused, and the others go on."""

import asyncio
import threading
from types import SimpleNamespace

import pytest
from fastapi import APIRouter, FastAPI

from api import main
from api.main import make_app
from api.routes.fast_routes import FastRoute
from api.turns.places import Place, Places
from common.errors import Overloaded


def test_a_full_place_refuses_at_once_or_after_a_while_and_serves_again_when_it_is_free() -> None:
    async def scene() -> None:
        place = Place("files", 2, waiting=1, seconds=0.1)
        go = threading.Event()
        running = [asyncio.create_task(place.run(go.wait)) for _ in range(2)]
        await asyncio.sleep(0)
        waiting = asyncio.create_task(place.run(lambda: "late"))
        await asyncio.sleep(0)
        with pytest.raises(Overloaded) as refused:
            await place.run(lambda: "one too many")
        assert (refused.value.status, refused.value.extra["retry_after"]) == (503, 5)
        with pytest.raises(Overloaded):
            await waiting
        go.set()
        assert await asyncio.gather(*running) == [True, True]
        assert await place.run(lambda: "again") == "again"

    asyncio.run(scene())


def test_a_client_who_goes_does_not_free_a_thread_that_still_works() -> None:
    async def scene() -> None:
        place = Place("files", 1, waiting=1, seconds=0.1)
        go, begun = threading.Event(), threading.Event()
        gone = asyncio.create_task(place.run(lambda: (begun.set(), go.wait())))
        await asyncio.to_thread(begun.wait)
        gone.cancel()
        with pytest.raises(Overloaded):
            await place.run(lambda: None)
        go.set()
        with pytest.raises(asyncio.CancelledError):
            await gone
        assert await place.run(lambda: 1) == 1

    asyncio.run(scene())


def test_a_turn_for_several_pieces_of_work_lasts_until_the_last_of_them_has_ended() -> None:
    async def scene() -> None:
        place = Place("batches", 1, waiting=1, seconds=0.1)
        go, begun = threading.Event(), threading.Event()

        async def pieces() -> None:
            async with place.turn() as turn:
                assert await turn.run(lambda: 1) == 1
                with pytest.raises(Overloaded):
                    await place.run(lambda: None)
                await turn.run(lambda: (begun.set(), go.wait()))

        gone = asyncio.create_task(pieces())
        await asyncio.to_thread(begun.wait)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        try:
            with pytest.raises(Overloaded):
                await place.run(lambda: None)
        finally:
            go.set()  # or its thread would never end
        while True:
            try:
                assert await place.run(lambda: 2) == 2
                break
            except Overloaded:
                continue
        with pytest.raises(ValueError, match="no"):
            async with place.turn():
                raise ValueError("no")
        assert await place.run(lambda: 3) == 3

    asyncio.run(scene())


def test_no_kind_of_work_waits_for_another(database: str) -> None:
    async def scene() -> None:
        places, go = Places(), threading.Event()
        kinds = [places.files, places.uploads, places.admin, places.batches, places.open, places.ordinary]
        for full in kinds:
            crowd = [asyncio.create_task(full.run(go.wait)) for _ in range(full.threads + 1)]
            await asyncio.sleep(0)
            for other in set(kinds) - {full}:
                assert await other.run(lambda: "served") == "served", (full.name, other.name)
            go.set()
            await asyncio.gather(*crowd)
            go.clear()

    asyncio.run(scene())


def test_no_route_shares_the_threads_of_everybody(monkeypatch: pytest.MonkeyPatch) -> None:
    """A synchronous endpoint belongs to a place; the app does not start with one that does not, with a key or without."""
    router = APIRouter()

    @router.get("/healthz")
    def odd() -> None: ...

    monkeypatch.setattr(main, "ROUTERS", (*main.ROUTERS, router))
    with pytest.raises(RuntimeError, match="WalledRoute"):
        make_app()


def test_operators_routes_are_in_a_place_of_their_own() -> None:
    app: FastAPI = make_app()
    theirs = [
        route
        for router in main.ROUTERS
        for route in router.routes
        if getattr(route, "path", "").startswith("/v1/admin")
    ]
    chosen = [route.endpoint for route in theirs if isinstance(route, FastRoute)]  # which choose theirs themselves
    assert all({"places", "admin"} <= {*each.__code__.co_names} for each in chosen), chosen
    places = {
        route.place(SimpleNamespace(admin="admin", ordinary="ordinary"))
        for route in theirs
        if not isinstance(route, FastRoute)
    }
    assert places == {"admin"}
    assert app.routes
