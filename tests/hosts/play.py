"""A scene is played under load, and it is measured how soon all is as before."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import psycopg

from common.settings import settings
from tests.hosts.house import House
from tests.hosts.load import Load
from tests.hosts.scenes import Scene

BEFORE_SECONDS = 2.0  # of peace before each scene
RECOVERY_SECONDS = 90.0  # after which it is taken for stuck
LOOK_SECONDS = 0.1


class Stuck(RuntimeError):
    """What a scene did was not over in time. Its message says what was still missing."""


class Recovery(NamedTuple):
    """Seconds from the end of the fault until something was so; `longest` is what a client waited for an accepted order."""

    scene: Scene
    orders: int  # accepted while the fault lasted
    submit: float
    done: float
    backlog: float
    longest: float


def play(house: House, load: Load, scene: Scene) -> Recovery:
    """Play one scene, wait until all is well again, and measure. Raises Stuck."""
    time.sleep(BEFORE_SECONDS)
    began = time.monotonic()
    if scene.sort == "kill":
        house.cut_power(scene.host)
        time.sleep(scene.seconds)
        house.start(scene.host)
    else:
        house.network.put_between(scene.pairs(house.network), scene.between)
        time.sleep(scene.seconds)
        house.network.heal()
    healed, healed_at = time.monotonic(), time.time()
    during = sum(began <= each.accepted <= healed for each in load.accepted)
    submit = _until("an order begun after it is accepted", lambda: _first_submit(load, healed))
    done = _until(
        "a job ends", lambda: _asked("select min(ended_at) from jobs where ended_at >= to_timestamp(%s)", healed_at)
    )
    _until("all jobs of that time have ended", lambda: _are_over(healed_at))
    last = _asked("select max(ended_at) from jobs where created_at <= to_timestamp(%s)", healed_at)
    house.wait_for(scene.host)
    longest = max((each.accepted - each.begun for each in load.accepted if each.accepted >= began), default=0.0)
    return Recovery(
        scene, during, submit - healed, max(0.0, done - healed_at), max(0.0, (last or 0.0) - healed_at), longest
    )


def _first_submit(load: Load, healed: float) -> float | None:
    return min((each.accepted for each in load.accepted if each.begun >= healed), default=None)


def _are_over(healed_at: float) -> bool | None:
    """Whether all jobs that were ordered before the end of the fault have ended."""
    left = _asked("select count(*) from jobs where ended is null and created_at <= to_timestamp(%s)", healed_at)
    return True if left == 0 else None


def _asked(statement: str, *values: Any) -> Any:
    """One figure of the database's, times as seconds; None where it does not answer."""
    try:
        with psycopg.connect(
            settings().database_url, connect_timeout=2, tcp_user_timeout=2000, options="-c statement_timeout=2s"
        ) as conn:
            found = (conn.execute(statement, values).fetchone() or [None])[0]
    except psycopg.OperationalError:
        return None
    return found.timestamp() if hasattr(found, "timestamp") else found


def _until(what: str, look: Callable[[], Any]) -> Any:
    end = time.monotonic() + RECOVERY_SECONDS
    while (found := look()) is None:
        if time.monotonic() > end:
            raise Stuck(f"{RECOVERY_SECONDS:.0f} s after its end it is still waited for that {what}")
        time.sleep(LOOK_SECONDS)
    return found
