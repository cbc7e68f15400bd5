"""`headrace catalogue`: what can be ordered, where it is generated, and how a file would change that."""

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.markup import escape
from rich.table import Table

from cli.output import JsonFlag, console, fail, print_json, show
from common.features import FEATURES
from models import db
from models.catalogue import entries, history, prices, providers, switches

app = typer.Typer(no_args_is_help=True, help="What can be ordered: show it, compare it with a file, apply the file.")
LONGEST_VALUE = 200  # of a field, in the table of changes


@app.command()
def apply(
    file: Annotated[Path | None, typer.Argument(help="A TOML file; the standard one if absent.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option(help="Only say what would change.")] = False,
    retire_missing: Annotated[bool, typer.Option(help="Stop offering models that are not in the file.")] = False,
    as_json: bool = JsonFlag,
) -> None:
    """Make a catalogue file current: show what it changes, field by field, ask, apply.

    Jobs keep the model versions they were ordered from. Without a terminal nothing is asked.
    """
    try:
        wanted = entries.read_file(file or entries.STANDARD_FILE)
    except OSError as error:
        raise fail(f"the catalogue was not loaded: {file}: {(error.strerror or '').lower()}") from None
    except UnicodeDecodeError:
        raise fail(f"the catalogue was not loaded: {file} is no text in UTF-8, so no TOML") from None
    except ValueError as error:
        raise fail(f"the catalogue was not loaded: {error}") from None
    with db.transaction() as conn:
        changes = entries.compare(conn, wanted, retire_missing=retire_missing)
    if not as_json:
        _show_changes(changes)
    applied = bool(changes) and not dry_run
    # Asked outside a transaction: a person may take any time.
    if applied and not yes and _at_terminal() and not typer.confirm("Apply this?", err=as_json):
        applied = False
    if applied:
        with db.transaction() as conn:
            if entries.compare(conn, wanted, retire_missing=retire_missing) != changes:
                raise fail("the catalogue has changed meanwhile: look again")
            entries.apply(
                conn, wanted.models, wanted.providers, plan_entries=wanted.plans, pack_entries=wanted.packs,
                features=wanted.features, retire_missing=retire_missing,
            )  # fmt: skip
    if as_json:
        print_json({"changes": [_change(each) for each in changes], "applied": applied})
    elif changes:
        console.print("[green]applied[/]" if applied else "[dim]not applied[/]")


@app.command(name="show")
def show_current(
    model: Annotated[str | None, typer.Argument(help="A model's id: all of its fields.")] = None,
    as_json: bool = JsonFlag,
) -> None:
    """Show the current models with their prices and routes, the providers with their limits, and the parts that are on."""
    with db.transaction() as conn:
        on = switches.features_on(conn)
        offers = entries.offers(conn)
        used = providers.providers(conn)
    if model is not None:
        if model not in offers:
            raise fail(f"there is no current model {model}; there are {', '.join(offers)}")
        offers = {model: offers[model]}
        routed = {route.provider for route in offers[model].entry.routes}
        used = {name: each for name, each in used.items() if name in routed}
    if as_json:
        models = [{"version": each.version, **each.entry.model_dump(mode="json")} for each in offers.values()]
        shown = {"models": models, "providers": [_provider(each) for each in used.values()]}
        print_json({**shown, "features": {feature: feature in on for feature in FEATURES}})
        return
    if model is not None:
        body = offers[model].entry.model_dump(mode="json")
        show([{"field": name, "value": _value(value, most=100_000)} for name, value in body.items()], as_json=False)
    else:
        rows = [_model(each.version, each.entry) for each in offers.values()]
        show(rows, as_json=False, title="Models", empty="no model: headrace catalogue apply")
    show([_provider(each) for each in used.values()], as_json=False, title="Providers")
    if model is None:
        parts = [{"feature": feature, "is": "on" if feature in on else "off"} for feature in FEATURES]
        show(parts, as_json=False, title="Features")


@app.command()
def versions(
    model: Annotated[str, typer.Argument(help="A model's id.")],
    as_json: bool = JsonFlag,
) -> None:
    """List a model's versions, oldest first, and what each changed of the one before."""
    with db.transaction() as conn:
        found = history.versions(conn, model)
    if not found:
        raise fail(f"there was never a model {model}")
    if as_json:
        print_json([
            {**each._asdict(), "fields": _fields(each.fields)} for each in found
        ])  # fmt: skip
        return
    rows = [
        {
            "version": each.version, "current": "yes" if each.current else "", "created": each.created_at,
            "changed": "; ".join(f"{path}: {_value(old)} → {_value(new)}" for path, old, new in each.fields),
        }
        for each in found
    ]  # fmt: skip
    show(rows, as_json=False, title=model)


def price_text(rule: "prices.PriceRule") -> str:
    """A price in words."""
    unit = rule.unit if rule.per == 1 else f"{rule.per:,} {rule.unit}s"
    if rule.credits is not None:
        return f"{rule.credits} credit{'' if rule.credits == 1 else 's'} per {unit}"
    return f"${(rule.cost_usd_micros or 0) / 1_000_000:g} + markup per {unit}"


def _at_terminal() -> bool:
    return sys.stdin.isatty()


def _show_changes(changes: "list[entries.Change]") -> None:
    if not changes:
        console.print("[dim]no change[/]")
        return
    table = Table(title="What changes", title_justify="left", header_style="bold")
    for name in ("what", "field", "before", "after"):
        table.add_column(name, overflow="fold")
    for each in changes:
        colour = {"new": "green", "on": "green", "retired": "red", "off": "red"}.get(each.change, "yellow")
        what = f"[{colour}]{each.change}[/] {each.section.removesuffix('s')} {each.name}"
        for path, before, after in each.fields or [("", None, None)]:
            cells = (path, _value(before), _value(after)) if path else ()
            table.add_row(what, *map(escape, cells))
            what = ""
    console.print(table)


def _change(change: "entries.Change") -> dict[str, Any]:
    return {**change._asdict(), "fields": _fields(change.fields)}


def _fields(fields: list[tuple[str, Any, Any]]) -> list[dict[str, Any]]:
    return [{"field": path, "before": before, "after": after} for path, before, after in fields]


def _value(value: Any, most: int = LONGEST_VALUE) -> str:
    text = "–" if value is None else value if isinstance(value, str) else orjson.dumps(value).decode()
    return text if len(text) <= most else text[:most] + "…"


def _model(version: int, entry: "entries.Entry") -> dict[str, Any]:
    return {
        "model": entry.id, "version": version, "kind": entry.kind, "price": price_text(entry.price),
        "routes": ", ".join(f"{route.provider}:{route.model}" for route in entry.routes), "queue": entry.queue,
    }  # fmt: skip


def _provider(entry: "providers.ProviderEntry") -> dict[str, Any]:
    """A provider without its key, which only its variable's name stands for."""
    return {
        "provider": entry.name, "adapter": entry.adapter, "base_url": entry.base_url, "key": entry.key,
        "key_is_set": None if entry.key is None else entry.key in os.environ, "concurrency": entry.concurrency,
        "per_minute": entry.per_minute, "rest_seconds": entry.rest_seconds,
    }  # fmt: skip
