from __future__ import annotations

from typing import TYPE_CHECKING

import click

from llm_gateway.cli.app import Call, verb
from llm_gateway.verbs.seed import seed

if TYPE_CHECKING:
    from llm_gateway.results import Result


@verb("seed")
@click.option("--dry-run", is_flag=True, help="Only report what would change.")
def command(call: Call, *, dry_run: bool) -> Result:
    """Make the default team, user, customer, budget and key exist."""
    return seed(call.context({}), dry_run=dry_run)
