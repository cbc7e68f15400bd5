"""The figures by which KEDA scales the workers: a surge is met soon, nothing swings to and fro, a flood of batches costs the others nothing."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from tests.autoscaling import THREADS, Autoscaler, Moment, play, turns
from tests.test_deploying import named

JOB_SECONDS = 4.0
HOUR = 3600


def spec(queue: str) -> dict[str, Any]:
    found: dict[str, Any] = named("ScaledObject")[f"headrace-worker-{queue}"]["spec"]
    return copy.deepcopy(found)


def played(queue: str, load: Callable[[int], float], hours: float = 2, **fields: Any) -> list[Moment]:
    return list(
        play(fields.pop("spec", spec(queue)), load, seconds=int(hours * HOUR), job_seconds=JOB_SECONDS, **fields)
    )


def surge(now: int) -> float:
    """From little to what fourteen workers are busy with, for forty minutes."""
    return 28.0 if 600 <= now < 3000 else 2.0


def test_a_surge_is_met_within_minutes_and_workers_leave_once_it_is_over() -> None:
    moments = played("interactive", surge)
    needed = surge(600) * JOB_SECONDS / THREADS
    there = next(each.second for each in moments if each.replicas >= needed)
    assert there - 600 <= 180
    calm = [each for each in moments if 900 <= each.second < 3000]
    assert max(each.longest_wait for each in calm) <= 2, "nobody waits five minutes after it began"
    assert max(each.longest_wait for each in moments) <= 60
    assert moments[-1].replicas <= 3
    assert sum(each.started for each in moments) + moments[-1].waiting > 60_000


def test_it_goes_up_and_down_and_hardly_wavers_between() -> None:
    """Above what is needed while the line is worked off, down to what is needed, and down at the end."""
    moments = played("interactive", surge)
    assert turns([each.replicas for each in moments]) <= 4


@pytest.mark.parametrize("rate", [3.0, 11.0, 25.0])
@pytest.mark.parametrize("seed", [1, 2])
def test_a_load_that_stays_leaves_the_workers_alone(rate: float, seed: int) -> None:
    """Chance alone moves the figures by more than a tenth: they must not move the workers to and fro."""
    moments = played("interactive", lambda _: rate, hours=3, seed=seed)
    late = [each.replicas for each in moments if each.second > HOUR]
    assert turns(late) <= 6, "one swing in forty minutes at most"
    assert max(late) - min(late) <= max(2, 0.35 * max(late))
    assert max(each.longest_wait for each in moments if each.second > HOUR) <= 5


def test_waves_are_followed_without_a_swing_between_them() -> None:
    """Ten minutes of much, ten of little: who would be stopped in the calm would be missing a moment later."""
    moments = played("interactive", lambda now: 20.0 if now // 600 % 2 else 4.0, hours=3)
    late = [each for each in moments if each.second > HOUR]
    assert max(each.longest_wait for each in late) <= 20
    assert turns([each.replicas for each in late]) <= 2 * (2 * HOUR // 1200)


def test_a_flood_of_batches_takes_no_worker_from_the_others() -> None:
    """Each queue has workers of its own, scaled by its own jobs: what stands in the other is not seen."""
    flood = played("batch", lambda now: 500.0 if now < 100 else 0.0, hours=2)
    assert max(each.replicas for each in flood) == spec("batch")["maxReplicaCount"]
    for trigger in spec("interactive")["triggers"]:
        assert "queue = 'interactive'" in trigger["metadata"]["query"]
    for trigger in spec("batch")["triggers"]:
        assert "queue = 'batch'" in trigger["metadata"]["query"]


def test_the_play_shows_a_swing_where_the_rules_are_bad() -> None:
    bad = spec("interactive")
    bad["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]["scaleDown"] = {
        "stabilizationWindowSeconds": 0, "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}],
    }  # fmt: skip
    late = [each.replicas for each in played("interactive", lambda _: 11.0, spec=bad) if each.second > HOUR]
    assert turns(late) > 20


def test_without_the_figure_of_waiting_long_jobs_are_met_all_the_same_and_with_it_sooner() -> None:
    """Work counts threads that are wanted; waiting doubles the workers while it grows."""
    less = spec("interactive")
    less["triggers"] = [each for each in less["triggers"] if each["name"] == "work"]
    both, one = (
        max(each.longest_wait for each in played("interactive", surge, spec=each))
        for each in (spec("interactive"), less)
    )
    assert both <= one


def test_the_rules_of_the_autoscaler_are_kubernetes_own() -> None:
    """Against its documented examples: a step up is the larger policy, the window keeps the largest wish, a tenth is nothing."""
    scaler = Autoscaler(spec("interactive"))
    assert scaler.look(0, {"work": 160, "wait": 0}) == 6  # 2 and at most 4 pods more in 30 seconds
    assert scaler.look(15, {"work": 160, "wait": 0}) == 6
    assert scaler.look(30, {"work": 160, "wait": 0}) == 12  # twice as many
    assert scaler.look(60, {"work": 160, "wait": 0}) == 20
    assert scaler.look(75, {"work": 150, "wait": 0}) == 20  # within a tenth
    assert scaler.look(660, {"work": 8, "wait": 0}) == 20  # 600 seconds long the largest wish counts
    assert scaler.look(690, {"work": 8, "wait": 0}) == 15  # and then a quarter in two minutes
    assert scaler.look(705, {"work": 8, "wait": 0}) == 15
