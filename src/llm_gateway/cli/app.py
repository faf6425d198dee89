"""Parsing, calling, rendering; no logic. Verbs are imported lazily: `status` need not load what `start` does."""

from __future__ import annotations

import sys
import tempfile
import traceback
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

from llm_gateway import __version__
from llm_gateway.errors import GatewayError, InputError, PreconditionError
from llm_gateway.progress import Progress
from llm_gateway.results import Result, failure, show

if TYPE_CHECKING:
    from collections.abc import Callable

    from llm_gateway.choices import Choice
    from llm_gateway.verbs.context import Context

VERBS = (
    "init",
    "plan",
    "start",
    "stop",
    "restart",
    "reload",
    "status",
    "logs",
    "seed",
    "connect",
    "lint",
    "config",
    "verify",
    "doctor",
    "exec",
    "down",
)


_SHOWS_ERRORS = {"doctor", "verify"}  # their text has them already


class _Verbs(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in VERBS:
            return None
        command: click.Command = import_module(f"llm_gateway.cli.{cmd_name}").command
        return command


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="llm-gateway")
def _app() -> None:
    """From nothing to an LLM gateway in which every enabled capability works."""


@dataclass(frozen=True)
class Call:
    """How a verb was called."""

    verb: str
    json: bool
    progress: Progress

    def context(self, flags: dict[str, Any]) -> Context:
        """The home and the choices; `config` stands for the option `configFile`."""
        from llm_gateway.verbs.context import open_context  # noqa: PLC0415 - only verbs need it

        given = dict(flags)
        if given.get("config") is not None:
            given["config_file"] = given["config"]
        return open_context(given, progress=self.progress)

    def show(self, result: Result) -> None:
        """Data to stdout; for people warnings and errors to stderr."""
        if self.json:
            click.echo(result.envelope())
            return
        if result.text:
            click.echo(result.text)
        for warning in () if result.told else result.warnings:
            click.echo(f"! {warning}", err=True)
        for problem in result.errors:
            if not (result.text and result.verb in _SHOWS_ERRORS):
                click.echo(show(problem), err=True)

    def finish(self, result: Result) -> None:
        """Show and exit with the result's code."""
        self.show(result)
        sys.exit(result.exit_code)


def verb(name: str) -> Callable[[Callable[..., Result | None]], click.Command]:
    """Make a function a verb: `--json`, errors as errors, exit codes.

    The function gets a `Call` and the parsed flags by name; a Result that it returns is shown and ends the command.
    """

    def decorate(function: Callable[..., Result | None]) -> click.Command:
        @click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
        def body(*, as_json: bool, **flags: Any) -> None:
            call = Call(name, as_json, Progress(quiet=as_json))
            try:
                result = function(call, **flags)
            except GatewayError as error:
                call.finish(failure(name, error))
            else:
                if result is not None:
                    call.finish(result)

        body.__doc__ = function.__doc__
        # click.option was applied to `body`; the function's own options were collected by `click.option` as well.
        parameters = getattr(function, "__click_params__", [])
        body.__click_params__ = [*parameters, *getattr(body, "__click_params__", [])]  # type: ignore[attr-defined]
        return click.command(name)(body)

    return decorate


def choice_flags(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add a flag for every option and setting, and `--config`."""
    from llm_gateway.verbs.context import catalogue  # noqa: PLC0415 - only verbs with choices need it

    function = click.option("--config", metavar="FILE", help="Model config to run.")(function)
    for choice in reversed(catalogue()):
        if choice.id != "configFile":
            function = _flag(choice)(function)
    return function


def choice_flag(id: str) -> Callable[..., Any]:  # noqa: A002
    """Add the flag of one option or setting."""
    from llm_gateway.verbs.context import catalogue  # noqa: PLC0415 - only verbs with choices need it

    return _flag(next(choice for choice in catalogue() if choice.id == id))


def _flag(choice: Choice) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    text = choice.description
    if choice.kind == "boolean":
        name = f"{choice.flag}/--no-{choice.words}"
        return click.option(name, choice.parameter, default=None, help=f"{text} [{str(choice.default).lower()}]")
    shown = f"{text} [{choice.default or 'empty'}]" + (f" ({', '.join(choice.allowed)})" if choice.allowed else "")
    return click.option(choice.flag, choice.parameter, default=None, help=shown, metavar=choice.kind.upper())


def main() -> None:
    """Entry point. Nothing that goes wrong shows a traceback."""
    wants_json = "--json" in sys.argv[1:]
    named = next((word for word in sys.argv[1:] if word in VERBS), "")
    try:
        _app.main(standalone_mode=False)
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except click.Abort:
        sys.exit(130)
    except click.ClickException as error:
        usage = InputError("E114", error.format_message(), cause="The command line is off.", next="llm-gateway --help")
        _fail(named, usage, as_json=wants_json)
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as error:
        broken = PreconditionError(
            "E115",
            f"{error.strerror or error}: {error.filename or ''}".rstrip(": "),
            cause="The file system refuses: no permission, no space, or a file where a directory should be.",
            next="llm-gateway doctor",
        )
        _fail(named, broken, as_json=wants_json)
    except Exception:  # noqa: BLE001 - the last resort: a person never sees a traceback
        _fail(named, _unexpected(), as_json=wants_json)


def _unexpected() -> GatewayError:
    """A fault of the kit itself; what a maintainer needs goes into a file."""
    with tempfile.NamedTemporaryFile("w", prefix="llm-gateway-", suffix=".txt", delete=False) as report:
        traceback.print_exc(file=report)
    return GatewayError(
        "E199",
        f"llm-gateway met something it did not expect: {sys.exception()!r:.200}",
        cause="A fault in llm-gateway itself.",
        next=f"Report it with {report.name}; llm-gateway stop cleans up.",
    )


def _fail(named: str, error: GatewayError, *, as_json: bool) -> None:
    Call(named, as_json, Progress(quiet=as_json)).finish(failure(named, error))
