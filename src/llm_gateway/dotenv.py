"""The `.env` file: read it strictly, write it so that python-dotenv, Compose and `docker run` read the same.

Generated values are bare; values that people gave are single-quoted (facts/libraries.md section 3: no quoting is
right for every reader, so newline, NUL and `'` are refused). The file is never sourced and never interpolated.
"""

from __future__ import annotations

import io
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dotenv.parser import parse_stream

from llm_gateway.errors import InputError
from llm_gateway.files import Unreadable, read_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

_BARE = re.compile(r"[A-Za-z0-9_./:@+=?&%,~-]*")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LARGEST = 1_000_000  # bytes; a .env is a few kB


@dataclass(frozen=True, slots=True)
class Line:
    """One variable of `.env` with the comment that stands above it."""

    name: str
    value: str
    comment: str


def quote(name: str, value: str) -> str:
    """`value` as it stands behind `NAME=`.

    Raises:
        InputError: E110, the value holds a newline, a NUL or a single quote.
    """
    if _BARE.fullmatch(value):
        return value
    if re.search(r"['\n\r\0]", value):
        raise InputError(
            "E110",
            f"The value of {name} cannot stand in .env.",
            cause="It holds a newline, a NUL or a single quote, which the readers of .env understand differently.",
            next=f"Choose a value without them, or give it as a process variable: export {name}=…",
        )
    if "\\\\" in value or value.endswith("\\"):
        # Inside single quotes python-dotenv takes `\\` for one backslash; lone ones inside are literal for everybody.
        value = value.replace("\\", "\\\\")
    return f"'{value}'"


def parse(text: str, *, path: Path) -> dict[str, str]:
    """The variables in `text`; a name that stands twice has its last value, as python-dotenv reads it.

    Raises:
        InputError: E111, a line is no assignment; names the line, never its content.
    """
    values: dict[str, str] = {}
    for binding in parse_stream(io.StringIO(text)):
        if binding.error or (binding.key is not None and binding.value is None):
            before = binding.original.string[: -len(binding.original.string.lstrip()) or None]
            number = binding.original.line + before.count("\n")  # the parser counts blank lines to what follows them
            raise InputError(
                "E111",
                f"{path}, line {number}: this is not NAME=value.",
                cause="A quote is not closed, or the line has no '='.",
                next=f"Mend the line: {os.environ.get('EDITOR', 'nano')} +{number} {path}",
            )
        if binding.key is not None and binding.value is not None:
            values[binding.key] = binding.value
    return values


def read(path: Path) -> dict[str, str]:
    """The variables of a `.env` file; empty when it is not there.

    Raises:
        InputError: E111 (a bad line), E112 (unreadable, a directory, not UTF-8, or far too large).
    """
    try:
        return parse(read_text(path, largest=_LARGEST), path=path)
    except Unreadable as problem:
        if problem.kind == "missing":
            return {}
        raise InputError(
            "E112",
            f"{path} cannot be read: {problem.reason}.",
            cause="The file belongs to another user, is no text file, or was damaged.",
            next=f"Look at it: ls -l {path}; file {path}",
        ) from None


def render(sections: Iterable[tuple[str, Iterable[Line]]]) -> str:
    """A new `.env`: sections of (title, lines), every line under its comment."""
    parts = [
        "# Settings and secrets of this LLM gateway. Written by llm-gateway; yours to edit.",
        "# What you change or add stays. Never source this file; `llm-gateway exec -- COMMAND` gives it to a command.",
    ]
    for title, lines in sections:
        parts += ["", f"# --- {title}"]
        for line in lines:
            parts += [f"# {line.comment}", f"{line.name}={quote(line.name, line.value)}"]
    return "\n".join(parts) + "\n"


def amend(text: str, *, replace: Mapping[str, str], append: Iterable[Line]) -> str:
    """`text` with some values replaced in place and missing variables added below; all else stays as it is."""
    lines = text.splitlines()
    for number, line in enumerate(lines):
        match = re.match(rf"\s*(?:export\s+)?({_NAME.pattern})\s*=", line)
        if match and match[1] in replace:
            lines[number] = f"{match[1]}={quote(match[1], replace[match[1]])}"
    added = list(append)
    if added:
        lines += ["", "# --- Added by llm-gateway"]
        for item in added:
            lines += [f"# {item.comment}", f"{item.name}={quote(item.name, item.value)}"]
    return "\n".join(lines) + "\n"


@dataclass(frozen=True, slots=True)
class EnvValue:
    """A variable's value and where it came from: `process`, `.env`, `generated` or `default`."""

    value: str
    source: str


class Environment:
    """Provider and service variables: a non-empty process variable, else `.env`; empty never hides set."""

    def __init__(self, *, process: Mapping[str, str], file: Mapping[str, str]) -> None:
        self.process = dict(process)
        self.file = dict(file)

    def get(self, name: str) -> str:
        """The value that counts, "" when none is set."""
        return self.process.get(name, "") or self.file.get(name, "")

    def source(self, name: str) -> str:
        """`process`, `.env`, or "" when the variable is set nowhere."""
        if self.process.get(name):
            return "process"
        return ".env" if name in self.file else ""

    def known(self, name: str) -> bool:
        """Is the variable set or at least named in `.env`? An empty line there is somebody's word too."""
        return bool(self.process.get(name)) or name in self.file

    def merged(self) -> dict[str, str]:
        """What a child process gets: the process's variables, completed by the file's."""
        return {**self.process, **{name: self.get(name) for name in self.file}}
