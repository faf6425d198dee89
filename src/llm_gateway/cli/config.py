from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from llm_gateway.cli.app import Call, choice_flag, verb
from llm_gateway.verbs.lint import models

if TYPE_CHECKING:
    from llm_gateway.results import Result


@click.group("config")
def command() -> None:
    """Look into a model config: its models, and what LiteLLM is given in the end."""


@verb("config models")
@click.argument("file", metavar="FILE")
def _models(call: Call, *, file: str) -> Result:
    """A table of the models: provider, endpoint, mode, price, key and limits."""
    del call
    return models(file)


@verb("config show")
@click.argument("file", metavar="FILE")
@choice_flag("asIs")
@click.option("--raw", is_flag=True, help="Show secrets, too; without it they are ***.")
def _show(call: Call, *, file: str, raw: bool, **flags: Any) -> Result:
    """The effective config as YAML: FILE plus what the enabled services need."""
    from llm_gateway.verbs.plan import show_config  # noqa: PLC0415 - loads every service; `models` is quick

    return show_config(call.context({**flags, "config": file}), raw=raw)


command.add_command(_models, name="models")
command.add_command(_show, name="show")
