from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from llm_gateway.cli.app import Call, verb
from llm_gateway.verbs.lint import lint

if TYPE_CHECKING:
    from llm_gateway.results import Result


@verb("lint")
@click.argument("files", nargs=-1, required=True, metavar="FILE…")
@click.option("--format", "form", type=click.Choice(["text", "github"]), default="text", help="How findings are shown.")
@click.option("--fix", is_flag=True, help="Show a diff of the safe fixes, then write them (asks on a terminal).")
def command(call: Call, *, files: tuple[str, ...], form: str, fix: bool) -> Result:
    """Find mistakes in model configs before the gateway starts."""
    linted = lint(files)
    written = []
    if fix:
        possible = linted.fixes()
        if linted.fixable and not possible:
            call.progress.note("The fixes would change more of the file than they should; make them by hand.")
        for fixed in possible:
            call.progress.note(fixed.diff)
            if call.json or not sys.stdin.isatty() or click.confirm(f"Write {fixed.file}?", err=True):
                fixed.write()
                written.append(fixed)
        if written:
            linted = lint(files)
    return linted.result(form=form, fixed=written)
