"""One short question to the package index, so that a blocked network is named in seconds."""

from __future__ import annotations

import contextlib
import importlib
import os
import ssl
import urllib.error
import urllib.request
from base64 import b64encode
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from llm_gateway.bootstrap.failures import unreachable
from llm_gateway.bootstrap.mirrors import index_of, uv_environment
from llm_gateway.bootstrap.pip_config import read_pip_config
from llm_gateway.bootstrap.redact import redact

if TYPE_CHECKING:
    from collections.abc import Mapping

    from llm_gateway.errors import PreconditionError

PATIENCE = 10.0


def check_index(environ: Mapping[str, str], *, patience: float = PATIENCE) -> PreconditionError | None:
    """Ask the index for the head of one page, through the configured proxy.

    Any answer of the index counts as reachable: credentials and certificates are judged by the installers,
    which know keyrings and netrc. Nothing secret is sent, so the certificate is not verified here.

    Returns:
        E210 (its name), E211 (refused), E212 (no answer in time), E214 (the proxy), or None.
    """
    pip = read_pip_config(environ)
    index = _without_user(index_of(environ, pip) or _default_index())
    if pip.no_index or urlsplit(index).scheme not in {"http", "https"}:
        return None
    env = uv_environment(environ, pip=pip)
    try:
        answer = _ask(index, env, _unverified(env), patience=patience)
    except (OSError, ValueError) as error:
        reason = redact(str(getattr(error, "reason", error)) or type(error).__name__)
        return unreachable(reason, f"The package index {index}")
    return unreachable("407 Proxy Authentication Required", "The proxy") if answer == 407 else None


def refuses_credentials(environ: Mapping[str, str]) -> bool:
    """Whether the index answers 401 or 403 to the credentials in its URL (False when it cannot be asked)."""
    pip = read_pip_config(environ)
    index = index_of(environ, pip)
    if urlsplit(index).scheme not in {"http", "https"}:
        return False
    env, parts = uv_environment(environ, pip=pip), urlsplit(index)
    user = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
    headers = {"Authorization": "Basic " + b64encode(user.encode()).decode()} if parts.username else {}
    try:
        # The password goes out: only to a server whose certificate is good.
        context = ssl.create_default_context(cafile=env.get("SSL_CERT_FILE"))
        return _ask(_without_user(index), env, context, headers=headers) in {401, 403}
    except (OSError, ValueError):
        return False


def _ask(
    index: str,
    env: Mapping[str, str],
    context: ssl.SSLContext,
    *,
    headers: Mapping[str, str] | None = None,
    patience: float = PATIENCE,
) -> int:
    """The status with which the index answers for one page."""
    names = {kind: (f"{kind}_proxy", f"{kind.upper()}_PROXY") for kind in ("http", "https")}
    proxies = {kind: env[name] for kind, both in names.items() for name in both if env.get(name)}
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler(proxies), urllib.request.HTTPSHandler(context=context)
    )
    url = index.rstrip("/") + "/uv/"
    request = urllib.request.Request(url, method="HEAD", headers=dict(headers or {}))  # noqa: S310 - callers checked it
    try:
        with opener.open(request, timeout=patience) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as answer:
        return answer.code


def _default_index() -> str:
    """The index pip asks when nothing is configured; pip knows it, so it is not written down a second time."""
    with contextlib.suppress(ImportError, AttributeError):
        return str(importlib.import_module("pip._internal.models.index").PyPI.simple_url)
    return ""


def _without_user(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rsplit("@", 1)[-1]).geturl()


def _unverified(env: Mapping[str, str]) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    client = env.get("SSL_CLIENT_CERT", "")
    if client and os.access(client, os.R_OK):
        with contextlib.suppress(ssl.SSLError, OSError):
            context.load_cert_chain(client)
    return context
