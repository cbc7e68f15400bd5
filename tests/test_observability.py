"""Every figure that a panel or a rule names exists, what is asked is PromQL, and each alert says what to do."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from common.settings import Settings
from common.telemetry.figures import FIGURES
from common.telemetry.serving import PARTS, port_of

ROOT = Path(__file__).resolve().parents[1]
PLACE = ROOT / "deploy/observability"
DASHBOARD = json.loads((PLACE / "grafana-dashboard.json").read_text())
RULES = [rule for group in yaml.safe_load((PLACE / "alerts.yml").read_text())["groups"] for rule in group["rules"]]
DOCUMENT = (ROOT / "docs/observability.md").read_text()
# Of Prometheus itself, and of prometheus_client's collector of the process.
OTHERS = {"up": {"job", "instance"}, "process_resident_memory_bytes": set(), "process_cpu_seconds_total": set()}
EXPOSED = {name: set(figure.labels) for figure in FIGURES.values() for name in figure.exposed()} | OTHERS
OF_TARGETS = {"job", "instance"}
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
QUERIES = [
    *((f"{panel['title']} {target['refId']}", target["expr"]) for panel in PANELS for target in panel["targets"]),
    *((rule["alert"], rule["expr"]) for rule in RULES),
]


def selectors(node: Any) -> Iterator[Any]:
    """The figures in a query, wherever they stand."""
    if isinstance(node, promql_parser.VectorSelector):
        yield node
    for name in ("expr", "lhs", "rhs", "vector_selector"):
        inner = getattr(node, name, None)
        if inner is not None:
            yield from selectors(inner)
    for inner in getattr(node, "args", ()):
        yield from selectors(inner)


def strange(query: str) -> list[str]:
    """Figures of a query that do not exist, and labels that they do not have."""
    found = []
    for each in selectors(promql_parser.parse(query)):
        if each.name not in EXPOSED:
            found.append(each.name)
            continue
        wanted = {matcher.name for matcher in each.matchers.matchers}
        found += [f"{each.name}: {label}" for label in sorted(wanted - EXPOSED[each.name] - OF_TARGETS - {"le"})]
    # What is grouped by is a label of some figure of the query.
    grouped = {label.strip() for text in re.findall(r"\bby \(([^)]*)\)", query) for label in text.split(",")}
    known = {label for each in selectors(promql_parser.parse(query)) for label in EXPOSED.get(each.name, ())}
    return found + sorted(grouped - known - OF_TARGETS - {"le"})


@pytest.mark.parametrize(("name", "query"), QUERIES, ids=[name for name, _ in QUERIES])
def test_what_is_asked_exists(name: str, query: str) -> None:
    assert strange(query) == [], name
    assert list(selectors(promql_parser.parse(query))), "it asks for something"


@pytest.mark.parametrize(("query", "found"), [
    ("sum(headrace_ghosts)", ["headrace_ghosts"]), ("headrace_queue_jobs{colour='red'}", ["headrace_queue_jobs: colour"]),
    ("sum by (colour) (rate(headrace_jobs_ended_total[5m]))", ["colour"]), ("headrace_job_seconds", ["headrace_job_seconds"]),
    ("1 + max(headrace_queue_jobs) / sum(rate(headrace_ghosts_total[1m]))", ["headrace_ghosts_total"]),
    ("histogram_quantile(0.9, sum by (le) (rate(headrace_job_seconds_bucket[5m])))", []),
])  # fmt: skip
def test_what_does_not_exist_is_found(query: str, found: list[str]) -> None:
    assert strange(query) == found


def test_what_is_no_promql_is_found() -> None:
    with pytest.raises(ValueError, match=r"."):
        promql_parser.parse("sum(rate(headrace_jobs_ended_total[5m])")


def test_every_figure_is_on_the_dashboard() -> None:
    shown = {
        each.name
        for panel in PANELS
        for target in panel["targets"]
        for each in selectors(promql_parser.parse(target["expr"]))
    }
    assert {name for name, figure in FIGURES.items() if not figure.exposed() & shown} == set()


def test_panels_do_not_lie_on_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_each_alert_says_how_bad_it_is_and_what_to_do() -> None:
    anchors = set(re.findall(r"^### ([a-z-]+)$", DOCUMENT, re.MULTILINE))
    for rule in RULES:
        assert rule["labels"]["severity"] in {"page", "ticket"}, rule["alert"]
        assert re.fullmatch(r"[0-9]+m", rule["for"]), rule["alert"]
        document, _, anchor = rule["annotations"]["runbook_url"].partition("#")
        assert document == "docs/observability.md"
        assert anchor in anchors, rule["alert"]
        named = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
        assert named <= set(re.findall(r"\w+", rule["expr"])) | OF_TARGETS, rule["alert"]
    assert {rule["annotations"]["runbook_url"].partition("#")[2] for rule in RULES} == anchors, "and no more"
    assert len({rule["alert"] for rule in RULES}) == len(RULES)


def test_prometheus_finds_each_process_where_it_listens() -> None:
    config = yaml.safe_load((PLACE / "prometheus.yml").read_text())
    targets = {each["job_name"]: each["static_configs"][0]["targets"] for each in config["scrape_configs"]}
    assert targets == {f"headrace-{part}": [f"{part}:{port_of(part, 9100)}"] for part in PARTS}
    assert all("authorization" in each for each in config["scrape_configs"])
    assert [(PLACE / name).exists() for name in config["rule_files"]] == [True]
    assert "metrics_port" in Settings.model_fields
