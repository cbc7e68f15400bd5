"""The model of the border holds for the rules that the code follows, and each of them is needed."""

import pytest

from tests.models.jobs.border_model import KINDS, NEW, WITHOUT, Model, explore

# Those that call back have ten times the states: `python -m tests.models.jobs.border_model` searches them as well.
QUICK = [kind for kind in KINDS if not KINDS[kind].calls]


@pytest.mark.parametrize("kind", QUICK)
def test_with_one_fault_anywhere_nothing_is_lost_or_paid_twice_and_every_job_can_end(kind: str) -> None:
    _, _, wrong, _ = explore(Model(kind, NEW, faults=1))
    assert not wrong


@pytest.mark.parametrize("policy", ["keep", "charge", "refund"])
@pytest.mark.parametrize("kind", ["once", "once-url"])
def test_so_it_is_with_a_cancel_whatever_the_model_says_of_it(kind: str, policy: str) -> None:
    _, _, wrong, _ = explore(Model(kind, NEW, cancel=policy, faults=1))
    assert not wrong


@pytest.mark.parametrize("less", [each.strip() for each in WITHOUT.split(",")])
def test_without_one_of_its_rules_a_promise_breaks(less: str) -> None:
    rule, kind, faults = less.split()
    _, _, wrong, _ = explore(Model(kind, NEW - {rule}, faults=int(faults)), stop=True)
    assert wrong
