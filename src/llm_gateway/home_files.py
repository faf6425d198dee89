"""What the kit writes into a home before anything starts: `.env`, remembered choices, copies of the configs."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from llm_gateway import credentials, dotenv
from llm_gateway.discovery import data_major
from llm_gateway.errors import PreconditionError
from llm_gateway.files import read_json, write_atomic, write_json
from llm_gateway.resources import resource
from llm_gateway.services.registry import BY_ID

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

    from llm_gateway.choices import Value
    from llm_gateway.discovery import Findings
    from llm_gateway.paths import Home
    from llm_gateway.services.base import Stack

# Variables that name a server which may be the kit's own or somebody else's.
OWN_SERVERS = {
    *("DATABASE_URL", "REDIS_HOST", "REDIS_PORT"),
    *("PRESIDIO_ANALYZER_API_BASE", "PRESIDIO_ANONYMIZER_API_BASE", "PROMETHEUS_URL"),
}


def rendered(home: Home, environment: dotenv.Environment) -> Callable[[str], bool]:
    """A predicate: is this variable's present value the kit's own, or not set at all?"""
    known = read_json(home.rendered_file)
    # Data of the kit's own server, but no memory of its variables (the file was damaged and moved away): whatever
    # .env names on this machine is the kit's.
    forgotten = not known and bool(data_major(home.state / "postgres"))

    def is_rendered(name: str) -> bool:
        value = environment.get(name)
        if forgotten and name in OWN_SERVERS and _is_local(value):
            return True
        return not value or known.get(name) == credentials.fingerprint(value)

    return is_rendered


def _is_local(value: str) -> bool:
    host = urlsplit(value).hostname if "://" in value else value
    return value.isdigit() or host in {"localhost", "127.0.0.1", "::1"}


def refuse_orphaned_data(home: Home, findings: Findings) -> None:
    """Data whose `.env` is gone cannot be opened by new secrets.

    Raises:
        PreconditionError: E109.
    """
    if findings.data_major and not home.env_file.exists() and not home.env_link.is_file():
        raise PreconditionError(
            "E109",
            f"{home.state} holds data, but its .env is gone.",
            cause="The .env was deleted or moved; the database was made with the passwords and the salt in it.",
            next=f"Put it back to {home.env_file}, or start afresh: mv {home.state} {home.state}.old",
        )


def env_path(home: Home) -> Path:
    """Where the `.env` that counts stands now: at the link's place when a person put a file there, else in `state/`.

    Many editors, and `sed -i`, replace a link by a new file; that file is the person's latest word.
    """
    replaced = home.env_link.exists() and not home.env_link.is_symlink()
    return home.env_link if replaced else home.env_file


def adopt_env(home: Home) -> None:
    """Move a `.env` that a person put into the home to `state/`, and leave the link; an older one is kept beside it."""
    if home.env_link.is_file() and not home.env_link.is_symlink():
        if home.env_file.exists():
            home.env_file.replace(home.state / ".env.previous")
        shutil.move(home.env_link, home.env_file)
        home.env_file.chmod(0o600)
    if not home.env_link.exists() and not home.env_link.is_symlink():
        home.env_link.symlink_to("state/.env")


def write_home(stack: Stack) -> Stack:
    """Write `.env` (new, or amended), `state/options.json` and the installed configs.

    A line that a person wrote or changed is never touched; one that the kit rendered follows the plan.

    Returns:
        The stack with the `.env` as it is now.

    Raises:
        InputError, PreconditionError: from reading and writing the files.
    """
    stack = write_env(stack)
    write_json(stack.home.options_file, _remembered(stack))
    install_configs(stack.home)
    return stack


def remember(stack: Stack, ids: Collection[str]) -> None:
    """Keep the stack's values of some choices for the next start; what is remembered of the others stays."""
    present = {id_: value for id_, value in read_json(stack.home.options_file).items() if id_ not in ids}
    chosen = {id_: value for id_, value in _remembered(stack).items() if id_ in ids}
    write_json(stack.home.options_file, {**present, **chosen})


def _remembered(stack: Stack) -> dict[str, Value]:
    remembered = stack.choices.remembered()
    if "configFile" in remembered:
        remembered["configFile"] = str(stack.config)
    return remembered


def write_env(stack: Stack) -> Stack:
    """Write `.env`, new or amended; gives the stack with the `.env` as it is now. Errors as `write_home`."""
    _amend_env(stack)
    adopt_env(stack.home)
    file = dotenv.read(stack.home.env_file)
    return replace(stack, environment=dotenv.Environment(process=stack.environment.process, file=file))


def _amend_env(stack: Stack) -> None:
    home, file = stack.home, stack.environment.file
    lines = {line.name: line for group in stack.lines.values() for line in group}
    known = read_json(home.rendered_file)
    if not home.env_file.exists():
        write_atomic(
            home.env_file, dotenv.render([(BY_ID[id_].title, group) for id_, group in stack.lines.items() if group])
        )
        written = set(lines)
    else:
        changed = {
            name: line.value
            for name, line in lines.items()
            if line.value
            and name in file
            and line.value != file[name]
            and (not file[name] or known.get(name) == credentials.fingerprint(file[name]))
        }
        append = [line for name, line in lines.items() if name not in file]
        if changed or append:
            text = home.env_file.read_text(encoding="utf-8-sig")
            write_atomic(home.env_file, dotenv.amend(text, replace=changed, append=append))
        written = {*changed, *(line.name for line in append)}
        # A value that was there and is what the kit would have written is the kit's own from now on.
        native = [group for id_, group in stack.lines.items() if stack.placements[id_].where == "native"]
        written |= {line.name for group in native for line in group if line.value == file.get(line.name)}
    for name in written:
        if lines[name].value:
            known[name] = credentials.fingerprint(lines[name].value)
    write_json(home.rendered_file, known)


def install_configs(home: Home) -> None:
    """Copy the starter configs; a copy that a person edited stays, one that only grew old is renewed."""
    stamp_file = home.state / "configs.json"
    stamps = read_json(stamp_file)
    configs = resource("configs")
    for source in sorted(configs.rglob("*.yaml")):
        name = str(source.relative_to(configs))
        target, new = home.configs / name, source.read_bytes()
        present = target.read_bytes() if target.exists() else None
        if present == new:
            stamps[name] = hashlib.sha256(new).hexdigest()
        elif present is None or hashlib.sha256(present).hexdigest() == stamps.get(name):
            target.parent.mkdir(exist_ok=True)
            write_atomic(target, new.decode(), mode=0o644)
            stamps[name] = hashlib.sha256(new).hexdigest()
    write_json(stamp_file, stamps)
