"""What the kit writes into a home before anything starts: `.env`, remembered choices, copies of the configs."""

from __future__ import annotations

import hashlib
import shutil
from typing import TYPE_CHECKING

from llm_gateway import credentials, dotenv
from llm_gateway.errors import PreconditionError
from llm_gateway.files import read_json, write_atomic, write_json
from llm_gateway.resources import resource
from llm_gateway.services.registry import BY_ID

if TYPE_CHECKING:
    from collections.abc import Callable

    from llm_gateway.discovery import Findings
    from llm_gateway.paths import Home
    from llm_gateway.services.base import Stack


def rendered(home: Home, environment: dotenv.Environment) -> Callable[[str], bool]:
    """A predicate: is this variable's present value the kit's own, or not set at all?"""
    known = read_json(home.rendered_file)

    def is_rendered(name: str) -> bool:
        value = environment.get(name)
        return not value or known.get(name) == credentials.fingerprint(value)

    return is_rendered


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


def adopt_env(home: Home) -> None:
    """Move a `.env` that a person put into the home to `state/`, and leave the link."""
    if home.env_link.is_file() and not home.env_link.is_symlink() and not home.env_file.exists():
        shutil.move(home.env_link, home.env_file)
        home.env_file.chmod(0o600)
    if not home.env_link.exists() and not home.env_link.is_symlink():
        home.env_link.symlink_to("state/.env")


def write_home(stack: Stack) -> None:
    """Write `.env` (new, or amended), `state/options.json` and the installed configs.

    A line that a person wrote or changed is never touched; one that the kit rendered follows the plan.

    Raises:
        InputError, PreconditionError: from reading and writing the files.
    """
    home = stack.home
    _write_env(stack)
    adopt_env(home)
    remembered = stack.choices.remembered()
    if "configFile" in remembered:
        remembered["configFile"] = str(stack.config)
    write_json(home.options_file, remembered)
    install_configs(home)


def _write_env(stack: Stack) -> None:
    home, file = stack.home, stack.environment.file
    lines = {line.name: line for group in stack.lines.values() for line in group}
    known = read_json(home.rendered_file)
    if not home.env_file.exists():
        write_atomic(
            home.env_file, dotenv.render([(BY_ID[id_].title, group) for id_, group in stack.lines.items() if group])
        )
        written = set(lines)
    else:
        replace = {
            name: line.value
            for name, line in lines.items()
            if line.value
            and name in file
            and line.value != file[name]
            and (not file[name] or known.get(name) == credentials.fingerprint(file[name]))
        }
        append = [line for name, line in lines.items() if name not in file]
        if replace or append:
            text = home.env_file.read_text(encoding="utf-8-sig")
            write_atomic(home.env_file, dotenv.amend(text, replace=replace, append=append))
        written = {*replace, *(line.name for line in append)}
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
    for source in sorted(resource("configs").glob("*.yaml")):
        target, new = home.configs / source.name, source.read_bytes()
        present = target.read_bytes() if target.exists() else None
        if present == new:
            stamps[source.name] = hashlib.sha256(new).hexdigest()
        elif present is None or hashlib.sha256(present).hexdigest() == stamps.get(source.name):
            write_atomic(target, new.decode(), mode=0o644)
            stamps[source.name] = hashlib.sha256(new).hexdigest()
    write_json(stamp_file, stamps)
