"""What a service is: a room of declarations with empty defaults.

Engines, the seeder, the doctor and the verbs know only these shapes; what is special about a service stands in its
own module.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from llm_gateway.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from llm_gateway.choices import Choices
    from llm_gateway.discovery import Findings
    from llm_gateway.dotenv import Environment, Line
    from llm_gateway.paths import Home
    from llm_gateway.probes import Deadline, Probe
    from llm_gateway.progress import Progress, Step
    from llm_gateway.proofs.base import Evidence
    from llm_gateway.proofs.bench import Bench
    from llm_gateway.seeding.litellm import Wanted

Where = Literal["native", "docker", "external", "off", "unavailable"]


@dataclass(frozen=True, slots=True)
class Placement:
    """Where one service runs.

    Attributes:
        where: the place.
        reason: why there, or why not; one sentence.
        next: for `unavailable`: what to do about it.
        how: what the room itself needs to remember (a binary's path, "wheel").
    """

    where: Where
    reason: str
    next: str = ""
    how: str = ""

    @property
    def runs(self) -> bool:
        """Is the service there for the gateway, wherever it runs?"""
        return self.where in {"native", "docker", "external"}


@dataclass(frozen=True, slots=True)
class Port:
    """A port a service wants: `setting` names the setting that holds it."""

    setting: str
    purpose: str


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret variable.

    Attributes:
        variable: its name in `.env`.
        default: seed 004's value, used with `startWithDefaults`; None: always generated.
        make: draws a new one.
    """

    variable: str
    default: str | None
    make: Callable[[], str]


@dataclass(frozen=True, slots=True)
class Draft:
    """What a room may look at while the stack is planned. Pure data."""

    home: Home
    choices: Choices
    environment: Environment
    findings: Findings
    secrets: Mapping[str, str] = field(default_factory=dict)
    ports: Mapping[str, int] = field(default_factory=dict)
    placements: Mapping[str, Placement] = field(default_factory=dict)
    rendered: Callable[[str], bool] = lambda _name: False

    def secret(self, name: str) -> str:
        """A secret's value: the person's own, else the drawn one."""
        return self.environment.get(name) or self.secrets.get(name, "")


def refuse_two_ports(draft: Draft, variable: str, named: int, setting: str) -> None:
    """Refuse a `.env` of seed 004 that names one port while a setting asks for another.

    Raises:
        InputError: E117.
    """
    wanted = draft.choices.number(setting)
    if draft.choices.asked(setting) and wanted != named and not draft.rendered(variable):
        raise InputError(
            "E117",
            f"{variable} in .env names port {named}, but {draft.choices.source(setting)} of {setting} says {wanted}.",
            cause="A line that you wrote is never changed, and both cannot hold.",
            next=f"Remove {variable} from .env (it is written anew), or leave {setting} at {named}",
        )


Operation = Literal["set", "append", "replace", "remove"]


@dataclass(frozen=True, slots=True)
class Setting:
    """One entry of the effective config.

    Attributes:
        path: where in the config; a number is a place in a list.
        value: what is set or put into the list; for `remove` the list's member to take out, None for the whole key.
        reason: why, in one sentence; shown by `plan`.
        operation: `set` unless the person's file sets `path`; `append` to the list at `path` unless it is in it;
            `replace` what stands at `path`, and `remove` it. The last two go against the file, so `start` says them.
        order: lower ones are applied first, equal ones in the order of the services.
    """

    path: tuple[str | int, ...]
    value: Any
    reason: str
    operation: Operation = "set"
    order: int = 0


@dataclass(frozen=True, slots=True)
class Process:
    """A native process.

    Attributes:
        name: unique in the home; also its log's name.
        argv: program and arguments; no secrets.
        user: unprivileged user to run as when the kit is root; "" = the kit's own user.
        reads_spec: it gets the caller's environment and completes it from its spec and `.env` itself; others get a
            bare one.
        stop_signal: signal name without SIG.
        stop_seconds: how long until it is killed.
        extra: environment variables on top; no secrets.
        unset: variables it must not have.
        attempts: how often a start lets it end before it is given up.
    """

    name: str
    argv: tuple[str, ...]
    user: str = ""
    reads_spec: bool = False
    stop_signal: str = "TERM"
    stop_seconds: int = 8
    extra: Mapping[str, str] = field(default_factory=dict)
    unset: tuple[str, ...] = ()
    attempts: int = 3


@dataclass(frozen=True)
class Stack:
    """The enabled services, wired. Made by `stack.plan`, changed by nobody."""

    home: Home
    choices: Choices
    environment: Environment
    findings: Findings
    engine: str
    engine_reason: str
    config: Path
    placements: Mapping[str, Placement]
    ports: Mapping[str, int]
    lines: Mapping[str, tuple[Line, ...]]
    public_url: str
    workers: int
    warnings: tuple[str, ...]

    @property
    def values(self) -> dict[str, str]:
        """Every variable as a child process gets it: process > `.env` > what the plan renders."""
        planned = {line.name: line.value for lines in self.lines.values() for line in lines}
        merged = {**planned, **{name: value for name, value in self.environment.merged().items() if value}}
        return {**dict.fromkeys(self.environment.file, ""), **merged}

    def runs(self, service: str) -> bool:
        return self.placements[service].runs


@dataclass(frozen=True)
class Run:
    """A stack being started: what `prepare`, `settle` and `after_ready` work with."""

    stack: Stack
    values: Mapping[str, str]
    deadline: Deadline
    progress: Progress
    step: Step

    @property
    def home(self) -> Home:
        return self.stack.home


@dataclass(frozen=True, slots=True)
class Check:
    """One rule of the doctor.

    Attributes:
        id: `D` and three digits.
        title: what is looked at.
        look: answers None when all is well or the rule does not apply, else (what is wrong, what to do).
        severity: `error` makes the doctor exit 1.
        at_start: a start looks, too, and says what is wrong; it stops nothing.
    """

    id: str
    title: str
    look: Callable[[Stack], tuple[str, str] | None]
    severity: Literal["error", "warning"] = "error"
    at_start: bool = False


@dataclass(frozen=True, slots=True)
class ScrapeTarget:
    """Metrics of a service that Prometheus can read.

    Attributes:
        job: the name that its series carry; of letters, digits and hyphens.
        url: where, from this machine.
        credential: bearer token; "" = none is asked for.
        drop: label to a regular expression: series whose label matches it are not kept.
    """

    job: str
    url: str
    credential: str = field(default="", repr=False)
    drop: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Absent:
    """Why a capability is not to be proven here.

    Attributes:
        state: `off`, nobody asked for it; `unavailable`, it was asked for and cannot be had here.
        reason: one sentence.
        next: for `unavailable`: what to do about it.
    """

    state: Literal["off", "unavailable"]
    reason: str
    next: str = ""


@dataclass(frozen=True, slots=True)
class Proof:
    """What `verify` shows of a service: real calls, and what came of them read back.

    Attributes:
        capability: its name on the command line.
        title: what is shown, a few words.
        absent: why it is not to be proven with this stack and effective config, None when it is.
        prove: makes the calls; raises NotProven with the cause and the next command.
        deep: only with `--deep`, alone, after the others: it disturbs the gateway.
    """

    capability: str
    title: str
    absent: Callable[[Stack, Mapping[str, Any]], Absent | None]
    prove: Callable[[Bench], Evidence]
    deep: bool = False


def _nothing(_run: Run) -> None:
    return None


@dataclass(frozen=True)
class Service:
    """A room. See the table in DESIGN section 4; fields that no service of this version uses are not here yet.

    Attributes:
        place: where the service runs on this machine and why.
        environment: its lines of `.env`.
        prepare: one-time work that needs no other service; idempotent.
        settle: work that needs what `needs` names to be ready, before the own processes start; idempotent.
        processes: how it runs natively.
        probe: is it ready?
        after_ready: work inside the running service; idempotent.
        before_reload: what it must be told before the gateway's new workers take over; idempotent.
        hidden: variables that the gateway's process must not have with this stack: a server that does not run.
        gateway_variables: variables that the gateway's process gets on top of the stack's, no secrets. Asked of every
            room, whether its service runs or not.
        gateway_settings: its part of the effective config, given the person's config with its includes. Asked of
            every room, whether its service runs or not.
        unused: for a service that runs: one sentence when this effective config (includes merged) does not use it,
            with what to do; else "".
        seeds: objects that the gateway's database must hold for it, while it runs.
        scrape_targets: its metrics, while it runs.
        caution: one sentence about a choice that a person should hear about at each start, or "".
        start_early: start the processes before `needs` are ready; the processes wait by themselves.
    """

    id: str
    title: str
    place: Callable[[Draft], Placement]
    needs: tuple[str, ...] = ()
    ports: tuple[Port, ...] = ()
    secrets: tuple[Secret, ...] = ()
    environment: Callable[[Draft], tuple[Line, ...]] = lambda _draft: ()
    prepare: Callable[[Run], None] = _nothing
    settle: Callable[[Run], None] = _nothing
    processes: Callable[[Stack], tuple[Process, ...]] = lambda _stack: ()
    probe: Callable[[Stack], Probe] | None = None
    after_ready: Callable[[Run], None] = _nothing
    before_reload: Callable[[Run], None] = _nothing
    hidden: Callable[[Stack], tuple[str, ...]] = lambda _stack: ()
    gateway_variables: Callable[[Stack], Mapping[str, str]] = lambda _stack: {}
    gateway_settings: Callable[[Stack, Mapping[str, Any]], tuple[Setting, ...]] = lambda _stack, _config: ()
    unused: Callable[[Stack, Mapping[str, Any]], str] = lambda _stack, _config: ""
    caution: Callable[[Stack, Mapping[str, Any]], str] = lambda _stack, _config: ""
    checks: tuple[Check, ...] = ()
    seeds: Callable[[Stack], tuple[Wanted, ...]] = lambda _stack: ()
    scrape_targets: Callable[[Stack], tuple[ScrapeTarget, ...]] = lambda _stack: ()
    proofs: tuple[Proof, ...] = ()
    start_early: bool = False
