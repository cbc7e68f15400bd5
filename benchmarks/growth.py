"""The same with 10 thousand and with 1 million jobs stored: cost per job must not grow with what is stored."""

from statistics import median

from benchmarks import queues
from benchmarks.stand import Report, Stand

SIZES = (10_000, 1_000_000)
ROUNDS = 3


def measure(stand: Stand, report: Report) -> None:
    """One database after the other; each warmed up first."""
    submits: dict[int, float] = {}
    whole: dict[int, float] = {}
    for size in SIZES:
        keys = stand.fresh(stored_jobs=size)
        stand.start("api")
        stand.load(keys, clients=16, seconds=2)
        submits[size] = median(stand.load(keys, clients=16, seconds=3)["rate"] for _ in range(ROUNDS))
        stand.stop()
        stand.clear_runs()
        whole[size] = median(queues.throughput(stand, None) for _ in range(ROUNDS))
    small, large = SIZES
    for name, found in (("submits, 16 clients", submits), ("jobs from submit to settled", whole)):
        report.add(
            f"{name}, 1 million stored",
            found[large],
            "1/s",
            ratio=found[large] / found[small],
            to=f"10 thousand {found[small]:,.0f}",
            aim="0.95",
        )
