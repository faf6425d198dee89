"""Why an installer failed, in the words of the person who has to mend it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from llm_gateway.errors import DeadlineError, GatewayError, PreconditionError

if TYPE_CHECKING:
    from pathlib import Path

    from llm_gateway.bootstrap.runner import Outcome


@dataclass(frozen=True, slots=True)
class _Cause:
    code: str
    pattern: re.Pattern[str]
    cause: str
    next: str


def _cause(code: str, pattern: str, cause: str, next: str) -> _Cause:  # noqa: A002
    return _Cause(code, re.compile(pattern, re.IGNORECASE), cause, next)


_PROXY = "Check the proxy: env | grep -i _proxy; pip config list"
_SHOW = "Look at what is configured: pip config list"
# The first that matches wins: what is more special stands further up.
_CAUSES = (
    _cause(
        "E218",
        r"no space left on device|os error 28\b|errno 28\b|disk quota exceeded",
        "The disk is full.",
        "Free space or choose another home: df -h; LLM_GATEWAY_HOME=/bigger/disk",
    ),
    _cause(
        "E216",
        r"hash mismatch|do not match the hashes|hashes are required",
        "A file differs from the one that was tested: a mirror with rebuilt packages, or tampering.",
        "Ask the mirror's owner for unchanged files, or use another index: PIP_INDEX_URL=…",
    ),
    _cause(
        "E214",
        r"407 proxy|proxy authentication required|tunnel connection failed|proxy ?connect|unsuccessful tunnel"
        r"|cannot connect to proxy|error connecting to proxy|tunnel error",
        "The proxy refuses the connection: its user or password is missing or wrong, or it forbids the host.",
        _PROXY,
    ),
    _cause(
        "E213",
        r"certificate verify failed|invalid peer certificate|unknownissuer|self[- ]signed certificate"
        r"|certificate_verify_failed|certificate has expired|tlsv1 alert|certificate required|handshake ?failure",
        "The index's certificate is not trusted: a company's own authority, or a client certificate is missing.",
        "Name the authority's file: PIP_CERT=/path/to/ca.pem (and PIP_CLIENT_CERT when the index asks for one)",
    ),
    _cause(
        "E215",
        r"\b40[13] (error|client error|unauthorized|forbidden)|status client error \(40[13]|http error 40[13]"
        r"|unauthorized",
        "The index refuses these credentials.",
        "Mend user and password in pip's configuration: pip config list -v",
    ),
    _cause(
        "E210",
        r"name or service not known|temporary failure in name resolution|dns error|getaddrinfo|nodename nor servname"
        r"|failed to lookup address|name resolution",
        "The index's name cannot be resolved: no network, no DNS, or a proxy is needed.",
        "Name the proxy or a reachable index: HTTPS_PROXY=http://proxy:3128 or PIP_INDEX_URL=…",
    ),
    _cause(
        "E212",
        r"timed? ?out|operation timed out|deadline has elapsed",
        "The index accepts connections but does not answer: a firewall that drops, or a very slow line.",
        "Name the proxy or a reachable index: HTTPS_PROXY=http://proxy:3128 or PIP_INDEX_URL=…",
    ),
    _cause(
        "E211",
        r"connection refused|network is unreachable|no route to host|connection reset|failed to establish a new",
        "The index cannot be reached.",
        "Name the proxy or a reachable index: HTTPS_PROXY=http://proxy:3128 or PIP_INDEX_URL=…",
    ),
    _cause(
        "E217",
        r"no matching distribution|no solution found|there (is|are) no versions? of|not found in the (package|provided)"
        r"|no (usable|compatible) wheels|could not find a version",
        "The index does not carry a package in the version that was tested, or not for this processor and Python.",
        _SHOW,
    ),
    _cause(
        "E219",
        r"permission denied|os error 13\b|read-only file system|operation not permitted",
        "A directory belongs to another user or is read-only.",
        "Choose a home of your own: LLM_GATEWAY_HOME=~/llm-gateway-home; pip's and uv's caches must be writable, too",
    ),
)


def failure(what: str, outcome: Outcome, log: Path) -> GatewayError:
    """The error that tells why installing `what` failed.

    Returns:
        E220 when the overall limit passed, else the first known cause in the output (E210 to E219), else E221.
    """
    message = f"Installing {what} failed."
    known = explain(outcome.output)
    if outcome.timed_out:
        return DeadlineError(
            "E220",
            f"Installing {what} did not end within its limit.",
            cause=known.cause if known else "The network is very slow, or something on the way drops packets.",
            next=f"Look at {log}; allow more time: LLM_GATEWAY_INSTALL_TIMEOUT=3600 (seconds)",
        )
    if known:
        return PreconditionError(
            known.code, message, cause=f"{known.cause} ({_line(outcome.output, known)})", next=known.next
        )
    return GatewayError(
        "E221",
        message,
        cause=_last_line(outcome.output) or f"The installer ended with code {outcome.code}.",
        next=f"Read what it said: tail -40 {log}",
    )


def unreachable(output: str, where: str) -> PreconditionError | None:
    """The error for an index that a first short question could not reach; None when nothing speaks against it."""
    known = explain(output)
    if known is None or known.code not in {"E210", "E211", "E212", "E214"}:
        return None
    return PreconditionError(known.code, f"{where} cannot be used.", cause=f"{known.cause} ({output})", next=known.next)


def explain(output: str) -> _Cause | None:
    """The first known cause whose wording stands in an installer's output."""
    return next((cause for cause in _CAUSES if cause.pattern.search(output)), None)


def _line(output: str, known: _Cause) -> str:
    return next((line.strip()[:200] for line in output.splitlines() if known.pattern.search(line)), "")


def _last_line(output: str) -> str:
    return next((line.strip()[:300] for line in reversed(output.splitlines()) if line.strip()), "")
