"""Can this machine run the chosen stack? Answered before anything is downloaded, in a few milliseconds."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from llm_gateway.errors import PreconditionError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

SKIP_VARIABLE = "LLM_GATEWAY_SKIP_PREFLIGHT"
_PROCESSORS = {"x86_64", "amd64", "aarch64", "arm64"}
_OLDEST_GLIBC = (2, 28)  # LiteLLM's and PostgreSQL's wheels are built for it (manylinux_2_28)
_PYTHONS = ((3, 11), (3, 15))


@dataclass(frozen=True, slots=True)
class _Need:
    memory: int
    disk: int


# MB while running and MB on disk, measured on Debian 12, x86-64, Python 3.11 (benchmarks/README.md):
# memory as proportional set size, disk with byte code and with the package cache on the same file system.
_NEEDS = {
    "gateway": _Need(memory=440, disk=950),  # preloading parent and one worker
    "worker": _Need(memory=110, disk=0),  # each further one
    "engine": _Need(memory=150, disk=250),  # LiteLLM's database client: Node per worker, its packages
    "postgres": _Need(memory=90, disk=220),  # server and an empty cluster with its write-ahead log
    "redis": _Need(memory=15, disk=20),
    "presidio": _Need(memory=210, disk=430),  # one process, English; a second language takes 150 MB more
}
_SMALLER = (
    ("--workers 1", {"workers": 1}),
    ("--no-enable-presidio", {"presidio": False}),
    ("--no-enable-redis", {"redis": False}),
    ("--no-database", {"database": False, "server": False}),
)


@dataclass(frozen=True, slots=True)
class Chosen:
    """The stack as the start's arguments and variables say it, roughly: only what changes the size."""

    workers: int = 1
    database: bool = True
    server: bool = True
    redis: bool = True
    presidio: bool = False

    def parts(self) -> Iterator[tuple[str, int]]:
        """Rows of the table and how often each counts."""
        yield "gateway", 1
        yield "worker", max(0, self.workers - 1)
        yield "engine", max(1, self.workers) if self.database else 0
        yield "postgres", int(self.server)
        yield "redis", int(self.redis)
        yield "presidio", int(self.presidio)

    @property
    def memory(self) -> int:
        return sum(_NEEDS[name].memory * count for name, count in self.parts())

    @property
    def disk(self) -> int:
        return sum(_NEEDS[name].disk * min(1, count) for name, count in self.parts())


@dataclass(frozen=True, slots=True)
class Machine:
    """What counts of a machine. `glibc` is None where the C library is another one."""

    system: str
    processor: str
    python: tuple[int, int]
    glibc: tuple[int, ...] | None
    memory: int
    disk: int


def check(home: Path, arguments: Sequence[str], environ: Mapping[str, str], *, machine: Machine | None = None) -> None:
    """Refuse what cannot work here.

    Args:
        home: where it is to be installed.
        arguments: those of `start`.
        environ: `LLM_GATEWAY_*` and `DATABASE_URL` are read.
        machine: what to judge; the present one by default.

    Raises:
        PreconditionError: E203 (system, processor, C library, Python), E206 (the home cannot be written),
            E204 (memory), E205 (disk), the last two with the smaller stack that fits.
    """
    if environ.get(SKIP_VARIABLE, "").lower() in {"1", "true", "yes"}:
        return
    machine = machine or this_machine(home)
    check_system(machine)
    _check_writable(home)
    chosen = choose(arguments, environ)
    _check_size("E204", "memory", chosen, machine.memory, home)
    _check_size("E205", "disk", chosen, machine.disk, home)


def check_system(machine: Machine) -> None:
    """Refuse a system, processor, C library or Python that no package exists for (E203)."""
    reason, remedy = "", f"docs/support.md lists what works; {SKIP_VARIABLE}=true tries all the same."
    if machine.system not in {"linux", "darwin"}:
        reason = f"This is {machine.system}; the kit runs on Linux (and, untested, on macOS)."
        remedy = "On Windows use WSL2: wsl --install, then clone and start inside it."
    elif machine.processor.lower() not in _PROCESSORS:
        reason = f"There are no packages for the processor {machine.processor}: it takes x86-64 or arm64."
    elif machine.system == "darwin" and machine.processor != "arm64":
        reason = "Current packages have no wheels for Macs with an Intel processor."
        remedy = "Use a Linux virtual machine or container on it."
    elif machine.system == "linux" and machine.glibc is None:
        reason = "The C library is musl (Alpine); LiteLLM and PostgreSQL are built for glibc only."
        remedy = "Use a Debian, Ubuntu, Fedora or similar system or image, on Windows WSL2."
    elif machine.glibc is not None and machine.glibc < _OLDEST_GLIBC:
        reason = f"glibc {'.'.join(map(str, machine.glibc))} is too old: it takes 2.28 (Debian 10, RHEL 8) or newer."
    elif not _PYTHONS[0] <= machine.python < _PYTHONS[1]:
        reason = f"Python {machine.python[0]}.{machine.python[1]} is not one of 3.11 to 3.14."
        remedy = "Name another one: LLM_GATEWAY_PYTHON=/path/to/python3.12"
    if reason:
        raise PreconditionError("E203", "The kit cannot run on this machine.", cause=reason, next=remedy)


def choose(arguments: Sequence[str], environ: Mapping[str, str]) -> Chosen:
    """Read the size of the stack from flags and variables. What is written wrongly is left to `start` to refuse."""
    default = Chosen()

    def flag(option: str, *, default: bool) -> bool:
        if f"--no-{option}" in arguments:
            return False
        if f"--{option}" in arguments:
            return True
        value = environ.get(f"LLM_GATEWAY_{option.upper().replace('-', '_')}", "").lower()
        return default if not value else value in {"1", "true", "yes", "on"}

    database = flag("database", default=default.database)
    return Chosen(
        workers=_workers(arguments, environ),
        database=database,
        server=database and not environ.get("DATABASE_URL"),
        redis=flag("enable-redis", default=default.redis),
        presidio=flag("enable-presidio", default=default.presidio),
    )


def this_machine(home: Path) -> Machine:
    """Look at the machine. Memory is what this process may use (its control groups count); disk is the home's."""
    system = os.uname() if hasattr(os, "uname") else None
    return Machine(
        system=sys.platform,
        processor=system.machine if system else "",
        python=(sys.version_info.major, sys.version_info.minor),
        glibc=_glibc(),
        memory=memory_limit() // 2**20,
        disk=shutil.disk_usage(_nearest(home)).free // 2**20,
    )


def memory_limit(*, proc: Path = Path("/proc"), groups: Path = Path("/sys/fs/cgroup")) -> int:
    """Bytes that this process may use: the machine's memory or the smallest limit of its control groups.

    Both versions of control groups are read. Inside a container the process's own group is mounted as the root,
    so the root is looked at, too. 2**60 when nothing is known (macOS).
    """
    limits = [2**60]
    meminfo = _lines(proc / "meminfo")
    limits.extend(int(line.split()[1]) * 1024 for line in meminfo if line.startswith("MemTotal:"))
    files = {groups / "memory.max", groups / "memory/memory.limit_in_bytes"}
    for line in _lines(proc / "self/cgroup"):
        _number, controllers, path = line.split(":", 2)
        if controllers == "":
            base, name = groups, "memory.max"
        elif "memory" in controllers.split(","):
            base, name = groups / "memory", "memory.limit_in_bytes"
        else:
            continue
        folder = base / path.strip().lstrip("/")
        files.update(parent / name for parent in (folder, *folder.parents) if parent.is_relative_to(base))
    for file in files:
        limits.extend(int(text) for text in _lines(file)[:1] if text.strip().isdigit())
    return min(limits)


def _check_writable(home: Path) -> None:
    nearest = _nearest(home)
    read_only = bool(os.statvfs(nearest).f_flag & os.ST_RDONLY)
    if not read_only and nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK):
        return
    raise PreconditionError(
        "E206",
        f"The home {home} cannot be written.",
        cause=f"{nearest} is on a read-only file system."
        if read_only
        else f"{nearest} belongs to another user, or is no directory.",
        next="Choose a home of your own: LLM_GATEWAY_HOME=~/llm-gateway-home",
    )


def _check_size(code: str, what: str, chosen: Chosen, there: int, home: Path) -> None:
    def need(stack: Chosen) -> int:
        return stack.memory if what == "memory" else stack.disk

    if need(chosen) <= there:
        return
    smaller = chosen
    flags: list[str] = []
    for name, change in _SMALLER:
        changed = replace(smaller, **change)
        if need(changed) < need(smaller):
            smaller, flags = changed, [*flags, name]
        if flags and need(smaller) <= there:
            break
    fits = bool(flags) and need(smaller) <= there
    again = f"Start a smaller stack: start_llm_gateway.sh {' '.join(flags)} ({need(smaller)} MB)"
    more = "Give the machine or container more memory" if what == "memory" else f"Free space in {_nearest(home)}: df -h"
    raise PreconditionError(
        code,
        f"The chosen stack needs about {need(chosen)} MB of {what}; there are {there} MB.",
        cause=", ".join(f"{name}{f' x {count}' if count > 1 else ''}" for name, count in chosen.parts() if count).join(
            ("It consists of: ", ".")
        ),
        next=f"{again if fits else more}; {SKIP_VARIABLE}=true tries all the same.",
    )


def _workers(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    text = environ.get("LLM_GATEWAY_WORKERS", "")
    for position, argument in enumerate(arguments):
        if argument == "--workers" and position + 1 < len(arguments):
            text = arguments[position + 1]
        elif argument.startswith("--workers="):
            text = argument.partition("=")[2]
    return max(1, int(text)) if text.isdigit() else 1


def _glibc() -> tuple[int, ...] | None:
    try:
        name, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
    except (ValueError, OSError, AttributeError):
        return None
    numbers = tuple(int(part) for part in version.split(".") if part.isdigit())
    return numbers if name == "glibc" and numbers else None


def _nearest(path: Path) -> Path:
    """The path itself or the first folder above it that exists."""
    return next((folder for folder in (path, *path.parents) if os.path.lexists(folder)), Path("/"))


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return []
