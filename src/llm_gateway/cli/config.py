from __future__ import annotations

from typing import TYPE_CHECKING

import click

from llm_gateway.cli.app import Call, verb
from llm_gateway.verbs.lint import models

if TYPE_CHECKING:
    from llm_gateway.results import Result


@click.group("config")
def command() -> None:
    """Look into a model config: its models."""


@verb("config models")
@click.argument("file", metavar="FILE")
def _models(call: Call, *, file: str) -> Result:
    """A table of the models: provider, endpoint, mode, price, key and limits."""
    del call
    return models(file)


command.add_command(_models, name="models")
