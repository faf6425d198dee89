"""Checks of a Langfuse server: one that the person names, or the kit's own. The room names them."""

from __future__ import annotations

import ssl
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from llm_gateway.model_config.lint.rules.network import is_exempt, is_private
from llm_gateway.model_config.redaction import address, without_credentials
from llm_gateway.services.network import network, with_scheme

if TYPE_CHECKING:
    from collections.abc import Mapping

    import httpx

    from llm_gateway.services.base import Stack

Found = tuple[str, str] | None
_SECONDS = 5.0
_NEWEST_KEYS = "Copy both keys from the project's settings (API Keys) into .env"
_DRAW = "remove LANGFUSE_PUBLIC_KEY, LANGFUSE_SECRET_KEY and LANGFUSE_INIT_PROJECT_PUBLIC_KEY and _SECRET_KEY from it"
_SEED = f"Put the keys back that .env had before, or {_DRAW}: the next start draws a new pair and makes it there"
_MEND = "Mend LANGFUSE_HOST in .env: the server's own address, without a path such as /project"
_LOCAL = {"localhost", "127.0.0.1", "::1"}


def keys(stack: Stack) -> Found:
    """The server takes the keys and offers the route to which LiteLLM sends traces."""
    where = stack.placements["langfuse"].where
    if where not in {"external", "docker"}:
        return None
    values = stack.values
    host, public, secret = (values.get(f"LANGFUSE_{name}", "") for name in ("HOST", "PUBLIC_KEY", "SECRET_KEY"))
    if not public or not secret:
        return "LANGFUSE_HOST is set, but not both keys: traces are refused.", _NEWEST_KEYS
    # Keys that a person made are of whatever project the person made them in.
    seeded = where == "docker" and public == values.get("LANGFUSE_INIT_PROJECT_PUBLIC_KEY")
    project = values.get("LANGFUSE_INIT_PROJECT_ID", "") if seeded else ""
    return problem(host, public, secret, environ={**values, **network(stack)}, seeded=project)


def problem(
    host: str,
    public_key: str,
    secret_key: str,
    *,
    environ: Mapping[str, str] = MappingProxyType({}),
    seeded: str = "",
) -> Found:
    """What is wrong with a server and keys, and what to do; None when traces would be taken.

    It asks for the project of the keys, then sends an export without any span: the server answers that as it
    would answer a real one and stores nothing.

    Args:
        host: LANGFUSE_HOST; without a scheme it is read as LiteLLM 1.106.2 reads it (http).
        public_key: LANGFUSE_PUBLIC_KEY.
        secret_key: LANGFUSE_SECRET_KEY.
        environ: the gateway's variables: its proxy and its certificates count, not those of this process.
        seeded: for a server of the kit's own: the project that its first start should have made with these keys.
            Langfuse ignores the variables of a later start without a word (4.16.0); this tells.
    """
    import httpx  # noqa: PLC0415 - 0.1 s that every verb would pay

    shown = address(with_scheme(host).rstrip("/"))
    try:
        with opened(host, public_key, secret_key, environ=environ) as client:
            found = _of_the_project(shown, client.get("/api/public/projects"), seeded)
            return found or _of_the_route(shown, client)
    # ImportError: a SOCKS proxy, for which httpx wants another package.
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, OSError, ImportError) as error:
        return _unreachable(shown, without_credentials(str(error)) or type(error).__name__)


def opened(host: str, public_key: str, secret_key: str, *, environ: Mapping[str, str]) -> httpx.Client:
    """A client at a Langfuse server that goes the gateway's way; arguments as for `problem`.

    Raises:
        ValueError, OSError, ImportError: no such address, no such certificates, a kind of proxy that is not known.
    """
    import httpx  # noqa: PLC0415 - see problem

    base = with_scheme(host).rstrip("/")
    return httpx.Client(
        base_url=base,
        auth=(public_key, secret_key),
        timeout=_SECONDS,
        trust_env=False,
        proxy=_proxy(base, environ),
        verify=_certificates(environ),
    )


def _proxy(url: str, environ: Mapping[str, str]) -> str | None:
    """The proxy for `url`, as requests reads the variables; the traces' exporter uses that."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if is_private(host) or is_exempt(host, {"no": environ.get("no_proxy") or environ.get("NO_PROXY", "")}):
        return None
    names = [name for kind in (parts.scheme, "all") for name in (f"{kind}_proxy", f"{kind.upper()}_PROXY")]
    proxy = next((environ[name] for name in names if environ.get(name)), "")
    return (proxy if "://" in proxy else f"http://{proxy}") if proxy else None


def _certificates(environ: Mapping[str, str]) -> ssl.SSLContext | bool:
    """The authorities of the exporter's bundle, or the usual ones."""
    bundle = environ.get("REQUESTS_CA_BUNDLE") or environ.get("CURL_CA_BUNDLE") or environ.get("SSL_CERT_FILE")
    if not bundle:
        return True
    try:
        if Path(bundle).is_dir():
            return ssl.create_default_context(capath=bundle)
        return ssl.create_default_context(cafile=bundle)
    except OSError as error:
        raise OSError(f"the certificates in {bundle} cannot be read ({error.strerror or error})") from None


def _unreachable(base: str, reason: str) -> Found:
    try:
        local = urlsplit(base).hostname in _LOCAL
    except ValueError:
        local = False
    # Inside a container the host's ports are not on the container's loopback.
    hint = "; in a container, localhost is the container itself" if local else ""
    return f"No Langfuse answers at {base}: {reason}.", f"Start it, or mend LANGFUSE_HOST in .env{hint}"


def _of_the_project(base: str, answer: httpx.Response, seeded: str) -> Found:
    """What the answer to `GET /api/public/projects` says."""
    status, body = answer.status_code, _json(answer)
    if status == 200 and isinstance(body.get("data"), list):
        return _of_another(base, body["data"], seeded)
    if status == 401 and "message" in body:
        ignored = "Its data is older than they are, and a later start with other keys changes none."
        said = ignored if seeded else "They are of another server or project, or were deleted there."
        return f"Langfuse at {base} refuses the keys. {said}", _SEED if seeded else _NEWEST_KEYS
    if status == 403 and "message" in body:
        return f"The keys for {base} are an organization's; traces need a project's.", _NEWEST_KEYS
    if answer.is_redirect:
        return f"{base} sends its callers to {address(answer.headers.get('location', ''))}.", _MEND
    if status >= 500:
        logs = "Read the log of its web container; after a first start with LANGFUSE_INIT_USER_PASSWORD of less than 8"
        return f"Langfuse at {base} answers {status}.", f"{logs} characters every answer is one"
    return f"What answers at {base} is not Langfuse (status {status} for /api/public/projects).", _MEND


def _of_another(base: str, projects: list[Any], seeded: str) -> Found:
    """What is wrong with the project that the keys belong to."""
    if not projects:
        return f"The keys belong to no project of {base}.", _NEWEST_KEYS
    found = projects[0].get("id") if isinstance(projects[0], dict) else None
    if seeded and found != seeded:
        return f"The keys for {base} belong to the project {found}, not to {seeded}: calls are traced there.", _SEED
    return None


def _of_the_route(base: str, client: httpx.Client) -> Found:
    """What the answer to an export without spans says."""
    headers = {"Content-Type": "application/x-protobuf", "x-langfuse-ingestion-version": "4"}
    status = client.post("/api/public/otel/v1/traces", content=b"", headers=headers).status_code
    if status == 200:
        return None
    version = _json(client.get("/api/public/health")).get("version", "unknown")
    if status == 404:
        needs = "LiteLLM sends traces only by OpenTelemetry, which Langfuse has since version 3.63."
        return f"Langfuse at {base} is version {version}. {needs}", "Update the server; version 4 is current"
    between = "Let whatever stands before Langfuse pass POST /api/public/otel/v1/traces"
    return f"Langfuse {version} at {base} takes the keys, but answers a trace with {status}.", between


def _json(answer: httpx.Response) -> dict[str, Any]:
    """The answer's object; empty when it is none."""
    try:
        value = answer.json()
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
