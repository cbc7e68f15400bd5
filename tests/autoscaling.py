"""How Kubernetes would scale the workers: KEDA's triggers and the horizontal autoscaler's rules, as deploy/kubernetes gives them, over a queue.

The rules are those of `autoscaling/v2`: looked at every 15 seconds; the largest wish of all metrics; nothing within a tenth of what
is wished; up at once but by steps, down to the largest wish of the stabilization window, by steps.
"""

import math
import random
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

TICK_SECONDS = 15
TOLERANCE = 0.1
THREADS = 8  # of a worker
START_SECONDS = 25  # until a pod that is wanted works


class Moment(NamedTuple):
    """What a queue and its workers look like."""

    second: int
    waiting: int
    oldest_seconds: int
    busy: int
    replicas: int
    started: int  # jobs in this second
    longest_wait: int  # of those


@dataclass
class Autoscaler:
    """The part of a ScaledObject that decides how many there are to be."""

    spec: dict[str, Any]
    replicas: int = 0
    _wishes: deque[tuple[int, int]] = field(default_factory=deque)
    _changes: deque[tuple[int, int]] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self.replicas = self.spec["minReplicaCount"]

    def look(self, now: int, values: dict[str, float]) -> int:
        """How many there are to be from now on, by what each trigger's query says."""
        wish = max(self._wish(each, values[each["name"]]) for each in self.spec["triggers"])
        wish = min(max(wish, self.spec["minReplicaCount"]), self.spec["maxReplicaCount"])
        down = self._behavior("scaleDown")
        self._wishes.append((now, wish))
        while self._wishes[0][0] <= now - down.get("stabilizationWindowSeconds", 300) and len(self._wishes) > 1:
            self._wishes.popleft()
        if wish > self.replicas:
            wanted = min(wish, self._step(now, self._behavior("scaleUp"), up=True))
        else:
            calm = max(each for _, each in self._wishes)
            wanted = min(self.replicas, max(calm, self._step(now, down, up=False)))
        if wanted != self.replicas:
            self._changes.append((now, wanted - self.replicas))
            self.replicas = wanted
        return wanted

    def _wish(self, trigger: dict[str, Any], value: float) -> int:
        target = float(trigger["metadata"]["targetQueryValue"])
        average = trigger["metricType"] == "AverageValue"
        ratio = value / (target * self.replicas) if average else value / target
        if abs(ratio - 1) <= TOLERANCE:
            return self.replicas
        return math.ceil(value / target) if average else math.ceil(self.replicas * ratio)

    def _behavior(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"][name]
        return found

    def _step(self, now: int, behavior: dict[str, Any], *, up: bool) -> int:
        """The farthest that the policies let it go, of which the most generous counts."""
        sign, limits = (1 if up else -1), []
        for policy in behavior["policies"]:
            changed = sum(by for at, by in self._changes if at > now - policy["periodSeconds"] and by * sign > 0)
            before = self.replicas - changed
            by = policy["value"] if policy["type"] == "Pods" else before * policy["value"] / 100
            limits.append(math.ceil(before + by) if up else math.floor(before - by))
        return max(limits) if up else min(limits)


def play(
    spec: dict[str, Any], load: Callable[[int], float], *, seconds: int, job_seconds: float, seed: int = 7
) -> Iterator[Moment]:
    """Play a load (jobs a second, by the second) against workers that are scaled. A pod that is stopped ends what it has begun."""
    chance, scaler = random.Random(seed), Autoscaler(spec)
    waiting: deque[int] = deque()
    running: list[float] = []
    pods = [0] * scaler.replicas  # from when on each works
    for now in range(seconds):
        waiting.extend([now] * _arrivals(chance, load(now)))
        running = [end for end in running if end > now]
        ready = sum(at <= now for at in pods)
        free = max(0, ready * THREADS - len(running))
        begun = [waiting.popleft() for _ in range(min(free, len(waiting)))]
        running += [now + chance.expovariate(1 / job_seconds) for _ in begun]
        oldest = now - waiting[0] if waiting else 0
        if now % TICK_SECONDS == 0:
            wanted = scaler.look(now, {"work": len(waiting) + len(running), "wait": oldest})
            pods = sorted(pods)[:wanted] + [now + START_SECONDS] * (wanted - len(pods))
        longest = max((now - at for at in begun), default=0)
        yield Moment(now, len(waiting), oldest, len(running), len(pods), len(begun), longest)


def _arrivals(chance: random.Random, rate: float) -> int:
    """How many come in a second, of so many on average (Poisson)."""
    count, left = 0, chance.expovariate(1.0)
    while left < rate:
        count, left = count + 1, left + chance.expovariate(1.0)
    return count


def turns(replicas: list[int]) -> int:
    """How often a row of numbers changes its direction."""
    steps = [b - a for a, b in pairwise(replicas) if a != b]
    return sum((a > 0) != (b > 0) for a, b in pairwise(steps))
