"""Generate LiteLLM's database client (`prisma generate`) without downloading an engine.

Prisma's CLI 5.4.2 reads the schema with WebAssembly of its own; it only wants to see that an engine is
there, so two variables point it to a program that answers `--version`.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from llm_gateway.errors import DeadlineError, GatewayError, PreconditionError
from llm_gateway.prisma_wasm.files import write_atomically
from llm_gateway.prisma_wasm.npm import install_packages
from llm_gateway.prisma_wasm.processes import Outcome, run

if TYPE_CHECKING:
    import threading
    from collections.abc import Mapping

    from llm_gateway.prisma_wasm.node import Node
    from llm_gateway.prisma_wasm.site import Site
    from llm_gateway.probes import Deadline

_GENERATOR = Path(__file__).with_name("generator")
_STAMP = "llm_gateway_client.json"
_STUB = "#!/bin/sh\necho query-engine 0000000000000000000000000000000000000000\n"
_NEXT = "llm-gateway init"


def fingerprint(site: Site) -> str:
    """Changes when the generated client would change.

    Raises:
        PreconditionError: E415 prisma or litellm-proxy-extras is not installed for this Python.
    """
    versions = {name: site.version(name) for name in ("prisma", "litellm_proxy_extras")}
    missing = [name.replace("_", "-") for name, version in versions.items() if not version]
    if missing or not site.schema.exists():
        raise PreconditionError(
            "E415",
            f"LiteLLM's database packages are not complete in {site.packages}",
            cause=f"not installed: {', '.join(missing) or site.schema}",
            next=_NEXT,
        )
    schema = hashlib.sha256(site.schema.read_bytes()).hexdigest()
    lock = hashlib.sha256((_GENERATOR / "package-lock.json").read_bytes()).hexdigest()
    return hashlib.sha256(json.dumps([versions, schema, lock]).encode()).hexdigest()


def is_current(site: Site, wanted: str) -> bool:
    """Whether the client of `fingerprint` `wanted` is generated and complete."""
    try:
        return (site.prisma / _STAMP).read_text() == wanted and (site.prisma / "client.py").exists()
    except OSError:
        return False


def generate(
    site: Site,
    wanted: str,
    *,
    node: Node,
    build: Path,
    environment: Mapping[str, str],
    deadline: Deadline,
    cancelled: threading.Event,
) -> None:
    """Generate the client into `site`'s prisma package and compile it to bytecode.

    Raises:
        GatewayError: E413 npm failed, E417 the generator failed, E418 the package cannot be written.
        DeadlineError: E412 or E419 the deadline passed.
    """
    install_packages(node, lock=_GENERATOR, into=build, environment=environment, deadline=deadline, cancelled=cancelled)
    _remove_generated(site)
    _check(
        run(
            [
                str(node.path),
                "node_modules/prisma/build/index.js",
                "generate",
                "--schema",
                str(_schema(site, build)),
            ],
            environment=_environment(site, node, build, environment),
            directory=build,
            deadline=deadline,
            cancelled=cancelled,
        )
    )
    # PYTHONDONTWRITEBYTECODE does not stop compileall. Without bytecode each import would take seconds.
    compiling = [str(site.python), "-m", "compileall", "-q", "-j", "2", str(site.prisma)]
    _check(run(compiling, environment=environment, directory=build, deadline=deadline, cancelled=cancelled))
    write_atomically(site.prisma / _STAMP, wanted)


def _schema(site: Site, build: Path) -> Path:
    lines = site.schema.read_text(encoding="utf-8").splitlines(keepends=True)
    # The CLI would want one engine per listed target.
    kept = [line for line in lines if not line.lstrip().startswith("binaryTargets")]
    copy = build / "schema.prisma"
    copy.write_text("".join(kept), encoding="utf-8")
    return copy


def _environment(site: Site, node: Node, build: Path, environment: Mapping[str, str]) -> dict[str, str]:
    # The CLI looks on PATH for the generator that the schema names, `prisma-client-py`. The installed script
    # may not be there, or not run (a shebang cannot hold a path with spaces).
    generator = f'#!/bin/sh\nexec {shlex.quote(str(site.python))} -P -m prisma "$@"\n'
    programs = build / "programs"
    programs.mkdir()
    stub = programs / "query-engine"
    for program, text in ((stub, _STUB), (programs / "prisma-client-py", generator)):
        program.write_text(text)
        program.chmod(0o755)
    path = os.pathsep.join([str(programs), str(node.path.parent), environment.get("PATH", os.defpath)])
    return {
        **environment,
        "PATH": path,
        "PRISMA_CLI_QUERY_ENGINE_TYPE": "binary",
        "PRISMA_QUERY_ENGINE_BINARY": str(stub),
        "PRISMA_SCHEMA_ENGINE_BINARY": str(stub),
        "CHECKPOINT_DISABLE": "1",
        "PRISMA_HIDE_UPDATE_MESSAGE": "1",
    }


def _remove_generated(site: Site) -> None:
    """A half-written client of an interrupted run cannot be imported, and the generator imports it."""
    shipped = site.shipped_files("prisma")
    try:
        (site.prisma / _STAMP).unlink(missing_ok=True)
        for path in site.prisma.rglob("*"):
            generated = path.suffix in {".py", ".prisma"} and str(path.relative_to(site.packages)) not in shipped
            if generated:
                path.unlink()
        # Bytecode of a removed module is not imported, but a check of what is installed would see it.
        for cache in site.prisma.rglob("__pycache__"):
            shutil.rmtree(cache)
    except OSError as error:
        raise GatewayError(
            "E418",
            f"{site.prisma} cannot be written",
            cause=str(error),
            next=f"run as the owner of {site.packages}, or: llm-gateway init",
        ) from error


def _check(outcome: Outcome) -> None:
    if outcome.code is None:
        raise DeadlineError(
            "E419", "the database client was not generated in time", cause=outcome.last_line, next=_NEXT
        )
    if outcome.code != 0:
        raise GatewayError(
            "E417",
            f"the database client could not be generated: {outcome.last_line}",
            cause=outcome.output[-800:].strip(),
            next=_NEXT,
        )
