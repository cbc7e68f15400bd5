"""Charts as lines of SVG, drawn here so that a page needs no script to show them. Pure."""

import json
import math
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

WIDTH, HEIGHT = 360, 120
HEADROOM = 1.08  # above the highest point


class Series(NamedTuple):
    """One line before it is drawn. `key`: how it looks in the legend and whether it is filled: "", line or dash."""

    name: str
    look: str
    key: str
    values: Sequence[float | None]


class DrawnLine(NamedTuple):
    """One line as paths."""

    name: str
    look: str
    key: str
    line: str
    area: str


class Chart(NamedTuple):
    """A chart as the page shows it."""

    id: str
    name: str
    now: str
    unit: str
    lines: list[DrawnLine]
    says: str
    points: str
    high: str
    middle: str
    begins: str
    ends: str
    is_empty: bool
    none: str


def draw(
    id_: str, name: str, times: Sequence[datetime], series: Sequence[Series], *, now: str, unit: str, none: str, digits: int = 0, suffix: str = "", prefix: str = "",
    day: bool = False,
) -> Chart:  # fmt: skip
    """A chart of lines over the same times."""
    top = scale([value for each in series for value in each.values if value is not None])
    lines = [drawn_line(each, top) for each in series]

    def text(value: float | None) -> str:
        return "–" if value is None else f"{prefix}{value:,.{digits}f}{suffix}"

    clock = "%-d %b" if day else "%H:%M"
    points = {
        "at": [f"{each:{clock} %H:%M}" if day else f"{each:{clock}}" for each in times],
        "lines": [{"name": each.name.lower(), "values": [text(value) for value in each.values]} for each in series],
    }
    return Chart(
        id_, name, now, unit, lines, _says(name, series, text), json.dumps(points), text(top / HEADROOM), text(top / HEADROOM / 2),
        f"{times[0]:{clock}}" if times else "", "now", not any(value for each in series for value in each.values), none,
    )  # fmt: skip


def scale(values: Sequence[float]) -> float:
    """The value at the upper edge: the highest, rounded up to one that reads well."""
    most = max(values, default=0.0)
    if most <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(most))
    nice = next(step for step in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if step * power >= most * 0.999_999)
    return nice * power * HEADROOM


def drawn_line(series: Series, top: float) -> DrawnLine:
    """A line as paths: it breaks where nothing is known."""
    last = max(1, len(series.values) - 1)
    pieces, joined = list[str](), False
    for place, value in enumerate(series.values):
        if value is None:
            joined = False
            continue
        x, y = WIDTH * place / last, HEIGHT * (1 - min(value, top) / top)
        pieces.append(f"{'L' if joined else 'M'}{x:.0f} {y:.1f}")
        joined = True
    line = "".join(pieces)
    whole = line if series.key == "" and all(value is not None for value in series.values) and line else ""
    return DrawnLine(
        series.name, series.look, series.key, line, f"{whole}L{WIDTH} {HEIGHT}L0 {HEIGHT}Z" if whole else ""
    )


def _says(name: str, series: Sequence[Series], text: Callable[[float | None], str]) -> str:
    parts = []
    for each in series:
        known = [value for value in each.values if value is not None]
        if known:
            parts.append(
                f"{each.name.lower()} between {text(min(known))} and {text(max(known))}, at last {text(known[-1])}"
            )
    return f"{name}: {'; '.join(parts)}." if parts else f"{name}: nothing yet."


def times_of(now: datetime, span: timedelta, step: timedelta) -> list[datetime]:
    """Where the pieces of a span begin, the oldest first; the last one is under way."""
    count = round(span / step)
    begins = now - span
    return [begins + step * place for place in range(count)]
