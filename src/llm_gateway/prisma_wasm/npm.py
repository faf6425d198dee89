"""Install the packages of one of this package's lock files."""

from __future__ import annotations

import os
import re
import shutil
from typing import TYPE_CHECKING

from llm_gateway.errors import DeadlineError, GatewayError
from llm_gateway.prisma_wasm.processes import Outcome, run

if TYPE_CHECKING:
    import threading
    from collections.abc import Mapping
    from pathlib import Path

    from llm_gateway.prisma_wasm.node import Node
    from llm_gateway.probes import Deadline

# Without the scripts of the packages: Prisma's would download engines.
_COMMAND = ("ci", "--ignore-scripts", "--omit=optional", "--no-audit", "--no-fund", "--loglevel=error")
# npm waits five minutes for a host that never answers, three times. A person's own settings win.
_IMPATIENT = {
    "npm_config_fetch_timeout": "30000",
    "npm_config_fetch_retries": "1",
    "npm_config_fetch_retry_mintimeout": "500",
    "npm_config_fetch_retry_maxtimeout": "2000",
    "npm_config_prefer_offline": "true",
    "npm_config_progress": "false",
    "npm_config_update_notifier": "false",
}
_CAUSES = (
    ("EINTEGRITY", "a package does not have the content that the lock file names"),
    ("ENOSPC", "the disk is full"),
    (r"\bE401\b", "the package registry wants other credentials"),
    (r"\bE403\b", "the package registry refuses the package"),
    (r"\bE404\b", "the package registry does not have the package"),
    ("E407|=407|407 Proxy", "the proxy wants credentials"),
    ("CERT", "the certificate of the package registry or proxy is not trusted"),
    ("SELF_SIGNED", "the certificate of the package registry or proxy is not trusted"),
    ("ENOTFOUND", "the name of the package registry cannot be resolved"),
    ("EAI_AGAIN", "the name of the package registry cannot be resolved"),
    ("ECONNREFUSED", "the package registry or proxy refuses the connection"),
    ("TIMEDOUT", "the package registry does not answer"),
    ("ERR_SOCKET_TIMEOUT", "the package registry does not answer"),
    ("EACCES", "a directory that npm uses cannot be written"),
)
_NEXT = "check the network, or set npm's registry, proxy or cafile (npm config), then run the command again"


def install_packages(
    node: Node,
    *,
    lock: Path,
    into: Path,
    environment: Mapping[str, str],
    deadline: Deadline,
    cancelled: threading.Event,
) -> None:
    """Install what `lock`/package-lock.json names into `into`/node_modules, checked by its integrity hashes.

    Raises:
        DeadlineError: E412 the deadline passed.
        GatewayError: E413 npm failed.
    """
    for name in ("package.json", "package-lock.json"):
        shutil.copyfile(lock / name, into / name)
    lowered = {name.lower() for name in environment}
    settings = {name: value for name, value in _IMPATIENT.items() if name not in lowered}
    path = os.pathsep.join([str(node.path.parent), environment.get("PATH", os.defpath)])
    outcome = run(
        [*node.npm, *_COMMAND],
        environment={**environment, **settings, "PATH": path},
        directory=into,
        deadline=deadline,
        cancelled=cancelled,
    )
    if outcome.code is None:
        raise DeadlineError(
            "E412",
            "npm did not finish in time",
            cause=_cause(outcome) or "the package registry or proxy accepts connections and does not answer",
            next=_NEXT,
        )
    if outcome.code != 0:
        raise GatewayError(
            "E413",
            f"npm could not install the database client's packages: {outcome.last_line}",
            cause=_cause(outcome) or outcome.output[-600:].strip(),
            next=_NEXT,
        )


def _cause(outcome: Outcome) -> str:
    return next((cause for words, cause in _CAUSES if re.search(words, outcome.output)), "")
