"""`headrace ops`: what operators see and do."""

import typer

from cli.commands import acting, holding, looking, many

app = typer.Typer(
    no_args_is_help=True, help="What operators see and do: find jobs, look into one, pause, retry, refund, stop."
)
for part in (looking, holding, acting, many):
    app.registered_commands += part.app.registered_commands
