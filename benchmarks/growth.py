"""The same with 10 thousand and with 1 million jobs stored: cost per job must not grow with what is stored."""

from statistics import median

from benchmarks import queues
from benchmarks.stand import Report, Stand

SIZES = (10_000, 1_000_000)
ROUNDS = 5


def measure(stand: Stand, report: Report) -> None:
    """Two databases of one server in turns, so that a machine that slows down meanwhile slows both; medians."""
    keys = {size: stand.fresh(stored_jobs=size, database=f"stored_{size}") for size in SIZES}
    submits: dict[int, list[float]] = {size: [] for size in SIZES}
    whole: dict[int, list[float]] = {size: [] for size in SIZES}
    for number in range(ROUNDS):
        for size in SIZES if number % 2 == 0 else SIZES[::-1]:
            stand.use(f"stored_{size}")
            stand.start("api")
            stand.load(keys[size], clients=16, seconds=2)
            submits[size].append(stand.load(keys[size], clients=16, seconds=3)["rate"])
            stand.stop()
            stand.clear_runs()
            whole[size].append(queues.throughput(stand, None))
    small, large = SIZES
    for name, found in (("submits, 16 clients", submits), ("jobs from submit to settled", whole)):
        rates = {size: median(found[size]) for size in SIZES}
        report.add(
            f"{name}, 1 million stored",
            rates[large],
            "1/s",
            ratio=rates[large] / rates[small],
            to=f"10 thousand {rates[small]:,.0f}",
            aim="0.95",
        )
