"""Figures: nothing while they are off, never more series than a label may have, and whatever fails takes only itself away."""

import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from common.telemetry import figures
from common.telemetry.figures import FIGURES, MOST_VALUES, OTHER
from tests.collectors import Sample, samples, total

ROOT = Path(__file__).resolve().parents[3]
PACKAGES = ("api", "workers", "scheduler", "storage", "common", "models")


@pytest.fixture
def registry() -> Iterator[CollectorRegistry]:
    made = CollectorRegistry(auto_describe=False)
    figures.begin(made)
    yield made
    figures.end()


def scraped(registry: CollectorRegistry) -> dict[Sample, float]:
    return samples(generate_latest(registry).decode())


def test_while_they_are_off_no_process_loads_what_makes_them() -> None:
    """Nor what sends traces (of its SDK redis-py loads a part by itself), nor what writes lines for machines."""
    looked = "import sys, api.main, workers.main, workers.deliver.main, scheduler.main; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", looked], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "common.telemetry.figures" in loaded.split()
    assert not {"prometheus_client", "opentelemetry.exporter", "opentelemetry.sdk.trace.export", "structlog"} & set(
        loaded.split()
    )


def test_what_is_noted_while_they_are_off_is_forgotten() -> None:
    figures.ORDERED.add("quick")
    figures.REQUESTS.note(1.0, "/", "GET", "2xx")
    made = CollectorRegistry(auto_describe=False)
    figures.begin(made)
    try:
        assert total(scraped(made), "headrace_jobs_ordered_total") == 0
    finally:
        figures.end()


def test_counts_durations_and_gauges_are_told(registry: CollectorRegistry) -> None:
    figures.ORDERED.add("quick")
    figures.ORDERED.add("quick", amount=2)
    figures.PUTS.note(0.2, "ok")
    figures.QUEUE_AGE.read_by(lambda: [(("batch",), 7.0)])
    found = scraped(registry)
    assert total(found, "headrace_jobs_ordered_total", model="quick") == 3
    assert total(found, "headrace_storage_put_seconds_bucket", outcome="ok", le="0.25") == 1
    assert total(found, "headrace_storage_put_seconds_bucket", outcome="ok", le="0.1") == 0
    assert total(found, "headrace_queue_oldest_seconds", queue="batch") == 7


def test_what_many_threads_note_is_counted_once_whoever_reads_meanwhile(registry: CollectorRegistry) -> None:
    """Notes wait for each other: none is lost, or counted twice, while several threads count them."""

    def note(number: int) -> None:
        for _ in range(2000):
            figures.ORDERED.add(f"model-{number}")
            figures.PUTS.note(0.2, "ok")

    with ThreadPoolExecutor(5) as threads:
        noting = [threads.submit(note, number) for number in range(4)]
        while not all(each.done() for each in noting):
            scraped(registry)
    for each in noting:
        each.result()
    found = scraped(registry)
    assert [total(found, "headrace_jobs_ordered_total", model=f"model-{number}") for number in range(4)] == [2000] * 4
    assert total(found, "headrace_storage_put_seconds_count", outcome="ok") == 8000


def test_what_waits_to_be_counted_is_bounded_where_nobody_reads(registry: CollectorRegistry) -> None:
    for _ in range(10 * figures.MOST_WAITING):
        figures.ORDERED.add("quick")
    assert len(figures._waiting) < figures.MOST_WAITING
    assert total(scraped(registry), "headrace_jobs_ordered_total", model="quick") == 10 * figures.MOST_WAITING


def test_one_that_cannot_be_counted_takes_only_itself_away(
    registry: CollectorRegistry, caplog: pytest.LogCaptureFixture
) -> None:
    figures.ORDERED.add("quick")
    figures.ORDERED.add("quick", "one too many")
    figures.ORDERED.add("quick")
    assert total(scraped(registry), "headrace_jobs_ordered_total", model="quick") == 2
    assert "headrace_jobs_ordered_total cannot count ('quick', 'one too many')" in caplog.text


def test_what_was_noted_is_counted_when_figures_end() -> None:
    made = CollectorRegistry(auto_describe=False)
    figures.begin(made)
    figures.ORDERED.add("quick")
    figures.end()
    assert total(scraped(made), "headrace_jobs_ordered_total", model="quick") == 1


def test_no_label_has_more_values_than_it_may(registry: CollectorRegistry) -> None:
    """Whatever a catalogue names its models, or a provider its faults."""
    for number in range(3 * MOST_VALUES):
        figures.ORDERED.add(f"model-{number}")
    figures.QUEUE_AGE.read_by(lambda: [((f"queue-{number}",), 1.0) for number in range(MOST_VALUES - 1)])
    found = scraped(registry)
    series = {labels: value for (name, labels), value in found.items() if name == "headrace_jobs_ordered_total"}
    assert len(series) == MOST_VALUES + 1
    assert series[frozenset({("model", OTHER)})] == 2 * MOST_VALUES
    assert sum(series.values()) == 3 * MOST_VALUES
    figures.ORDERED.add("model-0")  # one that is known stays itself
    assert total(scraped(registry), "headrace_jobs_ordered_total", model="model-0") == 2


def test_gauges_beyond_the_limit_are_one_sum(registry: CollectorRegistry) -> None:
    figures.ACTIVE_USERS.read_by(lambda: [((f"plan-{number}",), 1.0) for number in range(MOST_VALUES + 5)])
    assert total(scraped(registry), "headrace_active_accounts", plan=OTHER) == 5


def test_a_gauge_that_cannot_be_read_takes_no_other_away(registry: CollectorRegistry) -> None:
    def fails() -> figures.Readings:
        raise RuntimeError("the database is away")

    figures.QUEUE.read_by(fails)
    figures.QUEUE_AGE.read_by(lambda: [(("batch",), 7.0)])
    found = scraped(registry)
    assert total(found, "headrace_queue_oldest_seconds") == 7
    assert "headrace_queue_jobs" not in {name for name, _ in found}


def test_a_block_is_timed_by_how_it_ends(registry: CollectorRegistry) -> None:
    with figures.timed(figures.PUTS):
        pass
    with pytest.raises(KeyError), figures.timed(figures.PUTS):
        raise KeyError
    found = scraped(registry)
    assert [total(found, "headrace_storage_put_seconds_count", outcome=each) for each in ("ok", "failed")] == [1, 1]


def test_every_figure_is_noted_or_read_somewhere() -> None:
    declared = set(
        re.findall(
            r"^([A-Z_]+) = (?:Tally|Duration|Gauge)\(", (ROOT / "common/telemetry/figures.py").read_text(), re.MULTILINE
        )
    )
    assert len(declared) == len(FIGURES)
    code = "".join(
        path.read_text() for package in PACKAGES for path in (ROOT / package).rglob("*.py") if path.name != "figures.py"
    )
    assert {name for name in declared if not re.search(rf"figures\.{name}\b", code)} == set()


def test_names_are_those_of_prometheus() -> None:
    for name, figure in FIGURES.items():
        assert re.fullmatch(r"headrace_[a-z_]+", name)
        assert name.endswith("_total") == (figure.kind == "counter"), name
        assert figure.kind != "histogram" or name.endswith("_seconds"), name
        assert figure.says.endswith("."), name
