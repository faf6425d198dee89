"""One short question to the package index, so that a blocked network is named in seconds."""

from __future__ import annotations

import contextlib
import importlib
import os
import ssl
import urllib.error
import urllib.request
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

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
    proxies = {
        kind: env[name]
        for kind in ("http", "https")
        for name in (f"{kind}_proxy", f"{kind.upper()}_PROXY")
        if env.get(name)
    }
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler(proxies), urllib.request.HTTPSHandler(context=_context(env))
    )
    request = urllib.request.Request(index.rstrip("/") + "/uv/", method="HEAD")  # noqa: S310 - http(s) only, see above
    try:
        opener.open(request, timeout=patience).close()
    except urllib.error.HTTPError as answer:
        return unreachable("407 Proxy Authentication Required", "The proxy") if answer.code == 407 else None
    except (OSError, ValueError) as error:
        reason = redact(str(getattr(error, "reason", error)) or type(error).__name__)
        return unreachable(reason, f"The package index {index}")
    return None


def _default_index() -> str:
    """The index pip asks when nothing is configured; pip knows it, so it is not written down a second time."""
    with contextlib.suppress(ImportError, AttributeError):
        return str(importlib.import_module("pip._internal.models.index").PyPI.simple_url)
    return ""


def _without_user(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rsplit("@", 1)[-1]).geturl()


def _context(env: Mapping[str, str]) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    client = env.get("SSL_CLIENT_CERT", "")
    if client and os.access(client, os.R_OK):
        with contextlib.suppress(ssl.SSLError, OSError):
            context.load_cert_chain(client)
    return context
