"""What the week shows: tables into docs/growth.md between its markers, and two pictures."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from benchmarks.week.checking import WITHIN, Row, read_checked
from benchmarks.week.playing import SIZES, STEP_SECONDS, Week, play, waits_by_size
from benchmarks.week.world import OPERATIONS, PARTS, REMEDIES, Costs, Numbers, World, ladder, read_measured, saturations

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "growth.md"
PICTURES = DOCUMENT.parent / "pictures"
BEGINS, ENDS = "<!-- week: written by `python -m benchmarks.week` -->", "<!-- week ends -->"
RATE, HIGH = 100.0, 150.0  # jobs a second on average
WEEKS = {"50": 50.0, "100": RATE, "150": HIGH, "200": 200.0}


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    return "\n".join(f"| {' | '.join(row)} |" for row in (heads, ["---"] * len(heads), *rows))


def number(value: float) -> str:
    """Three digits that count, no more."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def duration(seconds: float) -> str:
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def hourly(amounts: Numbers) -> Numbers:
    """The mean of each hour, of what was seen in each step."""
    hour = 3600 // STEP_SECONDS
    return np.asarray(amounts.reshape(-1, hour, *amounts.shape[1:]).mean(axis=1))


def size_name(size: tuple[int, int]) -> str:
    return f"{size[0]:,} to {size[1]:,}"


def measured_table() -> str:
    """Costs as they were measured, with where and when."""
    found = read_measured()
    parts = [part for part in PARTS if part != "threads"]
    rows = [
        [f"{name}, {each['per_second']:.0f} a second", *(f"{each['cost'].get(part, 0):.2f}" if part in OPERATIONS[name] else "" for part in parts)]
        for name in OPERATIONS for each in found["costs"][name]
    ]  # fmt: skip
    loads = " and ".join(map(str, found["load_average"]))
    said = f"`{found['command']}`, {found['date']}, {found['machine']}, load average {loads} before and after; pickup {found['pickup_ms']} ms."
    return table(["ms of CPU for one", *parts], rows) + f"\n\n{said}"


def checked_table() -> str:
    """Predicted beside measured, with what is off."""
    found = read_checked()
    if found is None:
        return "Not compared yet: `python -m benchmarks.week --check`."
    rows = [Row(*each) for each in found["rows"]]
    near = sum(row.is_near for row in rows)
    lines = [[f"{row.load:.0f}", row.what, number(row.predicted), number(row.measured), f"{row.ratio:.2f}", "" if row.is_near else "off"]
             for row in rows]  # fmt: skip
    said = (f"{near} of {len(rows)} within {WITHIN:.0%}. {found['date']}; {found['cores']} cores were to be had beside the machine's other load, "
            f"{found['slower']} times as slow as when the costs were measured "
            f"(load average {found['load_average']}); predicted to be full at {found['capacity']:.0f} jobs/s.")  # fmt: skip
    return table(["jobs/s", "what", "predicted", "measured", "ratio", ""], lines) + f"\n\n{said}"


def weeks_table(weeks: dict[str, Week]) -> str:
    """Utilisation by load: mean and the busiest hour."""
    rows = []
    for name, week in weeks.items():
        shares = zip(week.used.mean(axis=0), hourly(week.used).max(axis=0), strict=True)
        rows.append([name, f"{week.begun.sum() / 1e6:.1f} M", *(f"{mean:.0%} / {most:.0%}" for mean, most in shares)])
    return table(["jobs/s, mean", "jobs begun", *PARTS], rows)


def waits_table(weeks: dict[str, Week]) -> str:
    """Median and p99 of the wait by size of the tenant, by load."""
    found = {name: waits_by_size(week) for name, week in weeks.items()}
    rows = [
        [size_name(size), *(f"{duration(each[size][0])} / {duration(each[size][1])}" for each in found.values())]
        for size in SIZES
    ]
    return table(["accounts by use", *found], rows)


def cost_of(world: World, rate: float) -> str:
    """Dollars of machines for a million jobs at an average load."""
    return f"{1e6 * world.dollars / (rate * 30 * 86_400):.0f}"


def remedies_table(costs: Costs) -> str:
    """What each remedy alone moves: from where to where each part goes that changes."""
    base = saturations(World(), costs)
    rows = []
    for name, change in REMEDIES.items():
        world = change(World())
        now = saturations(world, costs)
        moved = (
            f"{part} {base[part]:,.0f} → {limit:,.0f}"
            for part, limit in now.items()
            if abs(limit / base[part] - 1) > 0.02
        )
        whole = f"{min(base.values()):.0f} → {min(now.values()):.0f}"
        rows.append([name, "; ".join(moved), whole, f"{world.dollars - World().dollars:+,.0f}"])
    return table(["remedy, alone", "each part that it moves, full at jobs/s", "the whole", "$ a month"], rows)


def ladder_table(costs: Costs) -> str:
    """Step by step, always the remedy for what is full first."""
    rows = []
    for name, world in ladder(World(), costs):
        first, second = list(saturations(world, costs).items())[:2]
        rows.append([name, first[0], number(first[1]), f"{second[0]} {number(second[1])}", f"{world.connections:,}", f"{world.dollars:,.0f}",
                     cost_of(world, first[1] / 2)])  # fmt: skip
    return table(
        ["step", "full first", "at jobs/s", "then", "connections", "$ a month", "$ a million jobs at half"], rows
    )


def draw_week(week: Week) -> None:
    """Load and utilisation by the hour."""
    figure, (above, below) = plt.subplots(2, 1, figsize=(9, 5.5), sharex=True)
    days = np.arange(7 * 24) / 24
    for label, amounts in (("ordered", week.arrived), ("begun", week.begun)):
        above.plot(days, hourly(amounts.sum(axis=(1, 2))) / STEP_SECONDS, label=label, linewidth=1.2)
    for at, part in enumerate(PARTS):
        below.plot(days, hourly(week.used[:, at]), label=part, linewidth=1.2)
    above.set_ylabel("jobs/s")
    below.set_ylabel("share of the part in use")
    below.set_xlabel("days since Monday, 0:00")
    for axes in (above, below):
        axes.legend(fontsize=7, ncols=6, loc="upper right")
        axes.set_ylim(bottom=0)
    _save(figure, "week-use.png")


def draw_waits(fair: Week, plain: Week) -> None:
    """p99 of the wait by size of the tenant, with slots and without."""
    figure, axes = plt.subplots(figsize=(7, 3.2))
    for shift, label, week in ((-0.2, "slots", fair), (0.2, "no slots: first in, first out", plain)):
        values = [found[1] for found in waits_by_size(week).values()]
        axes.bar(np.arange(len(values)) + shift, values, width=0.4, label=label)
    axes.set_yscale("log")
    axes.set_xticks(range(len(SIZES)), [size_name(size) for size in SIZES], fontsize=7)
    axes.set_xlabel("accounts by use, the largest first")
    axes.set_ylabel("p99 of the wait, s")
    axes.legend(fontsize=8)
    _save(figure, "week-waits.png")


def _save(figure: Figure, name: str) -> None:
    figure.tight_layout()
    figure.savefig(PICTURES / name, dpi=75, metadata={"Software": None})
    plt.close(figure)


def show_week(costs: Costs, *, seed: int = 7) -> None:
    """Play the weeks, print the tables, draw, and write the document's part."""
    weeks = {name: play(World(), costs, rate, seed=seed) for name, rate in WEEKS.items()}
    plain = play(replace(World(), fair=False), costs, HIGH, seed=seed)
    parts = {
        "Measured: what one costs": measured_table(),
        "Simulated: use of each part, mean / busiest hour": weeks_table(weeks),
        "Simulated: wait, median / p99": waits_table({**weeks, f"{HIGH:.0f} without slots": plain}),
        "Reckoned: what each remedy buys": remedies_table(costs),
        "Reckoned: step by step": ladder_table(costs),
        "Checked: the model beside the real system": checked_table(),
    }
    text = "\n\n".join(f"### {name}\n{part}" for name, part in parts.items())
    print(text)
    before, _, rest = DOCUMENT.read_text().partition(BEGINS)
    DOCUMENT.write_text(f"{before}{BEGINS}\n{text}\n{ENDS}{rest.partition(ENDS)[2]}")
    draw_week(weeks["150"])
    draw_waits(weeks["150"], plain)
