"""Presidio: finding and masking personal data. The gateway's part of it stands in `presidio_guardrail`.

Native: `presidio_server`, both services in one process, in a venv of its own. The wheels exist for Linux (x86-64 and
arm64) and for macOS on arm64, for Python 3.11 to 3.14; Macs with an Intel processor lack one of cryptography.
"""

from __future__ import annotations

import json
from base64 import b64encode
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import HTTPError
from urllib.parse import unquote, urlsplit
from urllib.request import ProxyHandler, Request, build_opener

from llm_gateway import masking, presidio_server
from llm_gateway.bootstrap.install import ensure_venv
from llm_gateway.dotenv import Line
from llm_gateway.errors import InputError, PreconditionError
from llm_gateway.model_config.redaction import address
from llm_gateway.probes import HttpProbe
from llm_gateway.proofs import pii
from llm_gateway.requirements import requirements
from llm_gateway.services import presidio_guardrail
from llm_gateway.services.base import (
    Absent,
    Check,
    Draft,
    Placement,
    Port,
    Process,
    Proof,
    Run,
    Service,
    Stack,
    refuse_two_ports,
)
from llm_gateway.services.probe_model import without_probe

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from llm_gateway.discovery import Findings

BASES = ("PRESIDIO_ANALYZER_API_BASE", "PRESIDIO_ANONYMIZER_API_BASE")
_PORTS = ("presidioAnalyzerPort", "presidioAnonymizerPort")
_SEED = ("http://localhost:5001", "http://localhost:5002")
_MEMORY = 800 * 2**20  # the gateway and Presidio with one language; `start` counts the whole stack
_PLATFORMS = {("Linux", "x86_64"), ("Linux", "aarch64"), ("Darwin", "arm64")}
# One thread per calculation: the server does several texts side by side. The other three make glibc give memory back:
# without them one text of 200 kB leaves the process with 580 MB for good, with them with 175.
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "2",
    "MALLOC_MMAP_THRESHOLD_": "1000000",
    "MALLOC_TRIM_THRESHOLD_": "1000000",
}


def place(draft: Draft) -> Placement:
    """External when both variables name somebody's own; else native; else unavailable, said aloud.

    Raises:
        InputError: E118, only one of the two is named; E117, a port is named twice.
    """
    if not draft.choices.flag("enablePresidio"):
        return Placement("off", "Switched off.")
    named = [name for name in BASES if draft.environment.get(name) and not draft.rendered(name)]
    if named and not _is_seed_default(draft, named):
        return _external(draft, named)
    for name in named:
        which = BASES.index(name)
        refuse_two_ports(draft, name, urlsplit(_SEED[which]).port or 0, _PORTS[which])
    return _native(draft.findings)


def _is_seed_default(draft: Draft, named: list[str]) -> bool:
    """The addresses of seed 004's `.env`, where nobody listens: the kit's own server is meant."""
    values = {name: draft.environment.get(name).rstrip("/") for name in named}
    return not draft.findings.presidio_answers and all(
        value.replace("127.0.0.1", "localhost") == _SEED[BASES.index(name)] for name, value in values.items()
    )


def _external(draft: Draft, named: list[str]) -> Placement:
    if len(named) < len(BASES):
        (missing,) = set(BASES) - set(named)
        raise InputError(
            "E118",
            f"{named[0]} names a Presidio of yours, and {missing} does not.",
            cause="Presidio is two services, and the kit's own would be mixed with yours.",
            next=f"Set {missing} in .env, too, or remove {named[0]}: the kit then runs both.",
        )
    analyzer, anonymizer = (address(draft.environment.get(name)) for name in BASES)
    return Placement("external", f"The variables name {analyzer} and {anonymizer}.")


def _native(findings: Findings) -> Placement:
    named = f"Name an existing one by {' and '.join(BASES)} in .env, or: --no-enable-presidio"
    version = tuple(int(part) for part in findings.python.split(".")[:2])
    if (findings.system, findings.machine) not in _PLATFORMS or not (3, 11) <= version < (3, 15):
        platform = f"{findings.system} {findings.machine} and Python {findings.python}"
        return Placement("unavailable", f"There are no packages of Presidio for {platform}.", next=named)
    if findings.memory < _MEMORY:
        has = f"{findings.memory // 2**20} MB"
        return Placement(
            "unavailable", f"Presidio beside the gateway takes 800 MB; this machine has {has}.", next=named
        )
    return Placement("native", "Analyzer and anonymizer in one process, from PyPI.")


def environment(draft: Draft) -> tuple[Line, ...]:
    """Seed 004's two variables."""
    if draft.placements["presidio"].where == "external":
        # What the process environment says is for this start only; the file keeps its own word.
        values = [draft.environment.file.get(name, "") for name in BASES]
    else:
        values = [f"http://localhost:{draft.ports[port]}" for port in _PORTS]
    return (
        Line(BASES[0], values[0], "Presidio analyzer: finds personal data. Somebody else's makes the kit use that."),
        Line(BASES[1], values[1], "Presidio anonymizer: masks what was found."),
    )


def _languages(stack: Stack) -> dict[str, str]:
    return masking.languages(stack.choices.text("presidioLanguages"))


def prepare(run: Run) -> None:
    """Install Presidio and the models of the chosen languages.

    Raises:
        InputError: E340, a directory is no spaCy model.
    """
    stack = run.stack
    if stack.placements["presidio"].where != "native":
        return
    languages = _languages(stack)
    for language, directory in languages.items():
        if directory and not (Path(directory) / "config.cfg").is_file():
            raise InputError(
                "E340",
                f"{directory} is not a spaCy model.",
                cause=f"presidioLanguages names it for {language}; such a directory holds a file config.cfg.",
                next="Name the directory inside the unpacked model package that does: .../de_core_news_sm-3.8.0",
            )
    run.step.detail("installing Presidio from PyPI")
    packaged = {language for language, directory in languages.items() if not directory}
    lock = "presidio" if packaged <= {"en"} else "presidio-languages"
    ensure_venv(stack.home.root, "presidio", requirements(lock), progress=run.progress)


def processes(stack: Stack) -> tuple[Process, ...]:
    """One process with two ports; the program is run by its path, because its venv does not have the kit."""
    argv = [str(stack.home.venvs / "presidio" / "bin" / "python"), str(Path(presidio_server.__file__).parent)]
    argv += ["--analyzer-port", str(stack.ports[_PORTS[0]]), "--anonymizer-port", str(stack.ports[_PORTS[1]])]
    for language, directory in _languages(stack).items():
        argv += ["--model", f"{language}={directory or masking.PACKAGED[language]}"]
    return (Process("presidio", tuple(argv), extra=ENVIRONMENT),)


@dataclass(frozen=True, slots=True)
class PresidioProbe:
    """Ready when both addresses are healthy and neither says that it is the other service."""

    analyzer: str
    anonymizer: str

    def __call__(self) -> str:
        addresses = {"Analyzer": self.analyzer, "Anonymizer": self.anonymizer}
        return _wrong("Analyzer", "Anonymizer", addresses) or _wrong("Anonymizer", "Analyzer", addresses)


def _wrong(name: str, other: str, addresses: Mapping[str, str]) -> str:
    """Why the service `name` is not ready. A server of somebody's own may be both, or call itself otherwise."""
    said: list[str] = []

    def accept(body: bytes) -> bool:
        said.append(body.decode(errors="replace"))
        return name in said[0] or other not in said[0]

    base, headers = _without_user(addresses[name])
    reason = HttpProbe(f"{base}/health", headers, accept=accept)()
    if reason and said:
        return f"{base} is the {other.lower()}, not the {name.lower()}; are the two addresses mixed up?"
    return reason


def _without_user(url: str) -> tuple[str, dict[str, str]]:
    """`url` without its user, and the header that says the same: LiteLLM's client sends it so, urllib cannot."""
    scheme, _, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    user, at, host = authority.rpartition("@")
    headers = {"Authorization": f"Basic {b64encode(unquote(user).encode()).decode()}"} if at else {}
    return f"{scheme}://{host}{slash}{path}", headers


def _bases(stack: Stack, params: Mapping[str, Any] | None = None) -> tuple[str, str]:
    """The two addresses as LiteLLM understands them: a guardrail's own first, http where no scheme is."""
    found = []
    for name in BASES:
        own = str((params or {}).get(name.lower()) or f"os.environ/{name}")
        value = stack.values.get(own.removeprefix("os.environ/"), "") if own.startswith("os.environ/") else own
        found.append(value.rstrip("/") if "://" in value else f"http://{value.rstrip('/')}")
    return found[0], found[1]


def probe(stack: Stack, params: Mapping[str, Any] | None = None) -> PresidioProbe:
    """The probe of this stack's Presidio, or of the one that a guardrail's parameters name."""
    return PresidioProbe(*_bases(stack, params))


def after_ready(run: Run) -> None:
    """Refuse a word in `presidioEntities` that this Presidio never finds: it would be looked for in vain, silently.

    Raises:
        PreconditionError: E341, it does not know a language; E342, it does not find an entity; E343, it does not say.
    """
    # What ALL stands for is not the same in every release of Presidio, so only what a person named counts.
    wanted = set(masking.named(run.stack.choices.text("presidioEntities")))
    known: set[str] = set()
    for language in _languages(run.stack):
        found = _entities(_bases(run.stack)[0], language)
        if not found:
            raise PreconditionError(
                "E341",
                f"This Presidio does not know the language {language}.",
                cause="Every request would be refused.",
                next="Give it a model of that language, or leave it out of LLM_GATEWAY_PRESIDIO_LANGUAGES",
            )
        known |= found
    if wanted - known:
        raise PreconditionError(
            "E342",
            f"Presidio finds no {', '.join(sorted(wanted - known))}.",
            cause=f"It finds {', '.join(sorted(known))}.",
            next="Mend LLM_GATEWAY_PRESIDIO_ENTITIES",
        )


def _entities(analyzer: str, language: str) -> set[str]:
    """What the analyzer finds in a language; nothing when it does not know the language.

    Raises:
        PreconditionError: E343, no such answer.
    """
    base, headers = _without_user(analyzer)
    url = f"{base}/supportedentities?language={language}"
    try:
        with build_opener(ProxyHandler({})).open(Request(url, headers=headers), timeout=10) as answer:  # noqa: S310
            found = json.load(answer)
    except HTTPError as error:
        # As both servers, the official one and the kit's, refuse a language: an error of their own, in words.
        if error.code == HTTPStatus.INTERNAL_SERVER_ERROR and b'"error"' in error.read(10_000):
            return set()
        raise _silent(base, f"it answers {error.code}") from None
    except (OSError, HTTPException, ValueError) as error:
        raise _silent(base, str(getattr(error, "reason", error)) or type(error).__name__) from None
    if not isinstance(found, list):
        raise _silent(base, "its answer is no list")
    return {str(name) for name in found}


def _silent(analyzer: str, reason: str) -> PreconditionError:
    return PreconditionError(
        "E343",
        f"Presidio's analyzer at {analyzer} does not say what it finds: {reason}.",
        cause="It is healthy, but GET /supportedentities does not work; something may stand before it.",
        next="Mend that, then: llm-gateway start; or leave Presidio out: --no-enable-presidio",
    )


def _answers(stack: Stack) -> tuple[str, str] | None:
    """An external server is reached, each address by its name; the kit's own is watched by its supervisor."""
    if stack.placements["presidio"].where != "external":
        return None
    reason = probe(stack)()
    return (reason, f"Mend {' and '.join(BASES)}, or: --no-enable-presidio") if reason else None


def _unproven(stack: Stack, config: Mapping[str, Any]) -> Absent | None:
    """Why masking is not to be shown. A guardrail of the config is shown, too, wherever its Presidio runs."""
    used = bool(presidio_guardrail.guardrails(config))
    if not used and not stack.runs("presidio"):
        return Absent("off", "Switched off: no personal data is masked.")
    return without_probe(stack, config) if used else None


PRESIDIO = Service(
    id="presidio",
    title="Presidio",
    place=place,
    ports=(Port(_PORTS[0], "Presidio's analyzer"), Port(_PORTS[1], "Presidio's anonymizer")),
    environment=environment,
    prepare=prepare,
    processes=processes,
    probe=probe,
    after_ready=after_ready,
    gateway_settings=presidio_guardrail.gateway_settings,
    unused=presidio_guardrail.unused,
    caution=presidio_guardrail.caution,
    proofs=(Proof("pii", "no personal data reaches the upstream", _unproven, partial(pii.prove, health=probe)),),
    checks=(Check("D212", "The external Presidio answers, analyzer and anonymizer", _answers),),
)
