"""One network configuration for every installer: what pip and npm are told is translated for uv, pip and npm.

Nobody configures uv and npm separately for one command; what makes pip work here must make them work, too.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit
from urllib.request import url2pathname

from llm_gateway.bootstrap.npm_config import read_npm_config
from llm_gateway.bootstrap.pip_config import PipConfig, read_pip_config
from llm_gateway.bootstrap.redact import secrets_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_SYSTEM_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu, Arch, Alpine
    "/etc/pki/tls/certs/ca-bundle.crt",  # Fedora, RHEL
    "/etc/ssl/ca-bundle.pem",  # openSUSE
    "/etc/ssl/cert.pem",  # macOS
)
# What would change the meaning of an installation that a lock file describes completely.
_FOREIGN = (
    "PYTHONDONTWRITEBYTECODE", "PYTHONHOME", "PYTHONPATH", "PYTHONOPTIMIZE", "VIRTUAL_ENV", "CONDA_PREFIX",
    "UV_BUILD_CONSTRAINT", "UV_COMPILE_BYTECODE", "UV_CONSTRAINT", "UV_EXCLUDE", "UV_EXCLUDE_NEWER",
    "UV_INDEX_STRATEGY", "UV_NO_BINARY", "UV_NO_BINARY_PACKAGE", "UV_NO_BUILD", "UV_NO_VERIFY_HASHES",
    "UV_ONLY_BINARY", "UV_OVERRIDE", "UV_PRERELEASE", "UV_PROJECT", "UV_PYTHON", "UV_REQUIRE_HASHES",
    "UV_RESOLUTION", "UV_SYSTEM_PYTHON", "UV_VENV_CLEAR", "UV_VENV_SEED", "UV_WORKING_DIR",
)  # fmt: skip
_FOREIGN_PIP = ("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_CONSTRAINT", "PIP_REQUIREMENT", "PIP_NO_BINARY", "PIP_PRE")
_OWN_UV_INDEX = ("UV_DEFAULT_INDEX", "UV_INDEX_URL")
DEFAULT_TIMEOUT = 30
Indexes = Literal["main", "all", "extra"]


def uv_environment(
    environ: Mapping[str, str], *, pip: PipConfig | None = None, indexes: Indexes = "main"
) -> dict[str, str]:
    """The environment of a uv process: `environ` plus what pip is configured with.

    Variables that the person set for uv win over pip's configuration. Credentials travel in the environment
    only, never in arguments, which every user of the machine can read.

    Args:
        environ: the person's environment.
        pip: pip's configuration, when the caller has read it already.
        indexes: which of pip's indexes to ask. The default leaves the extra ones out: uv takes a version's files
            from the first index that has the version, while pip takes the best file of all indexes. An extra index
            with the same version but fewer files would win over the one the lock was made from.
    """
    pip = pip or read_pip_config(environ)
    env = {name: value for name, value in environ.items() if name not in _FOREIGN}
    own = any(environ.get(name) for name in _OWN_UV_INDEX)
    if not own:
        env.update(_indexes(pip, indexes))
    # uv stops at the first index that knows a name; pip merges them, which is what this configuration was
    # written for. Merging is what invites dependency confusion; here every file is fixed by its hash.
    env["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    links = [link for link in pip.find_links if _is_there(link)]
    if links:
        env.setdefault("UV_FIND_LINKS", ",".join(links))
    if pip.no_index:
        env.setdefault("UV_NO_INDEX", "1")
    if pip.trusted_hosts:
        env.setdefault("UV_INSECURE_HOST", " ".join(pip.trusted_hosts))
    if pip.client_cert:
        env.setdefault("SSL_CLIENT_CERT", pip.client_cert)
    if pip.keyring_provider in {"subprocess", "auto"} and shutil.which("keyring", path=environ.get("PATH")):
        env.setdefault("UV_KEYRING_PROVIDER", "subprocess")
    if pip.no_cache:
        env.setdefault("UV_NO_CACHE", "1")
    env.setdefault("UV_HTTP_TIMEOUT", _whole(pip.timeout) or str(DEFAULT_TIMEOUT))
    if _whole(pip.retries):
        env.setdefault("UV_HTTP_RETRIES", _whole(pip.retries))
    env.update(_authorities(environ, pip))
    env.update(_proxies(environ, pip))
    # The person's Python is used; uv must not fetch one from elsewhere.
    env.update({"UV_PYTHON_DOWNLOADS": "never", "NO_COLOR": "1"})
    return env


def pip_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of a pip process that fills one directory from a hash-locked file.

    pip reads its own configuration; this takes away what clashes with `--target` and `--require-hashes`, and
    adds what the person told uv only.
    """
    pip = read_pip_config(environ)
    env = {name: value for name, value in environ.items() if name not in (*_FOREIGN, *_FOREIGN_PIP)}
    env.update(
        {
            "PIP_USER": "0",
            "PIP_REQUIRE_VIRTUALENV": "0",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_NO_INPUT": "1",
            "PIP_PROGRESS_BAR": "off",
        }
    )
    index = next((environ[name] for name in _OWN_UV_INDEX if environ.get(name)), "")
    if index and not pip.index_url:
        env["PIP_INDEX_URL"] = index.split("=", 1)[1] if "=" in index.split("://", 1)[0] else index
    if environ.get("SSL_CERT_FILE") and not pip.cert:
        env["PIP_CERT"] = environ["SSL_CERT_FILE"]
    if not pip.timeout:
        env["PIP_TIMEOUT"] = str(DEFAULT_TIMEOUT)
    if not pip.retries:
        env["PIP_RETRIES"] = "2"
    return env


def npm_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of an npm process: npm's own configuration first, pip's where npm has none."""
    pip, npm = read_pip_config(environ), read_npm_config(environ)
    env = {name: value for name, value in environ.items() if name not in {"NODE_OPTIONS", "PYTHONDONTWRITEBYTECODE"}}
    bundle = _authorities(environ, pip).get("SSL_CERT_FILE", "")
    if bundle and not {"cafile", "ca"} & npm.keys():
        env["npm_config_cafile"] = bundle
    if bundle:
        env.setdefault("NODE_EXTRA_CA_CERTS", bundle)
    proxies = _proxies(environ, pip)
    for option, variable in (("proxy", "HTTP_PROXY"), ("https-proxy", "HTTPS_PROXY")):
        if variable in proxies and option not in npm:
            env[f"npm_config_{option.replace('-', '_')}"] = proxies[variable]
    registry = urlsplit(npm.get("registry", ""))
    if registry.hostname and "strict-ssl" not in npm and _is_trusted(registry.netloc, pip.trusted_hosts):
        env["npm_config_strict_ssl"] = "false"
    if registry.hostname and pip.client_cert and urlsplit(pip.index_url).hostname == registry.hostname:
        # One PEM file with certificate and key, as pip wants it; npm takes it for both.
        scope = f"npm_config_//{registry.netloc}{registry.path.rstrip('/')}/"
        env.setdefault(f"{scope}:certfile", pip.client_cert)
        env.setdefault(f"{scope}:keyfile", pip.client_cert)
    if "fetch-timeout" not in npm:
        env["npm_config_fetch_timeout"] = str(1000 * int(_whole(pip.timeout) or DEFAULT_TIMEOUT))
    env.update({"npm_config_update_notifier": "false", "npm_config_fund": "false", "npm_config_audit": "false"})
    return env


def known_secrets(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Every password in pip's, uv's, npm's and the proxies' configuration: what a log must not contain."""
    npm = read_npm_config(environ)
    tokens = [value for name, value in npm.items() if name.lower().endswith(("_authtoken", "_auth", "_password"))]
    urls = [
        *read_pip_config(environ).urls,
        *npm.values(),
        *(value for name, value in environ.items() if name.startswith("UV_") or name.lower().endswith("_proxy")),
    ]
    named = [environ[name] for name in environ if name.startswith("UV_INDEX_") and name.endswith("_PASSWORD")]
    return (*secrets_of(urls), *(value for value in (*tokens, *named) if value))


def index_of(environ: Mapping[str, str], pip: PipConfig) -> str:
    """The main index that an installation asks, "" for the tools' default."""
    own = next((environ[name] for name in _OWN_UV_INDEX if environ.get(name)), "")
    return own or pip.index_url


def authorities(environ: Mapping[str, str]) -> str:
    """The file of certificate authorities that installers trust here, "" for their own list."""
    return _authorities(environ, read_pip_config(environ)).get("SSL_CERT_FILE", "")


def _indexes(pip: PipConfig, indexes: Indexes) -> dict[str, str]:
    main = (pip.index_url,) if pip.index_url and indexes != "extra" else ()
    wanted = (*main, *(pip.extra_index_urls if indexes != "main" else ()))
    if not wanted:
        return {}
    if indexes == "all" and not main:
        return {"UV_INDEX": " ".join(wanted)}
    # uv asks its default index last; the order stays pip's, the main index first.
    *first, last = wanted
    return {"UV_DEFAULT_INDEX": last} | ({"UV_INDEX": " ".join(first)} if first else {})


def _authorities(environ: Mapping[str, str], pip: PipConfig) -> dict[str, str]:
    """In pip's order: its own option, then the variables of requests, then what OpenSSL programs use."""
    for bundle in (pip.cert, environ.get("REQUESTS_CA_BUNDLE", ""), environ.get("CURL_CA_BUNDLE", "")):
        if bundle and Path(bundle).is_file():
            return {"SSL_CERT_FILE": bundle}
        if bundle and Path(bundle).is_dir():
            return {"SSL_CERT_DIR": bundle}
    if environ.get("SSL_CERT_FILE"):
        return {"SSL_CERT_FILE": environ["SSL_CERT_FILE"]}
    # Companies put their authority into the system's store. Without a store uv's own list is all there is.
    if sys.platform == "darwin" or any(Path(name).is_file() for name in _SYSTEM_BUNDLES):
        return {"UV_SYSTEM_CERTS": "1"}
    return {}


def _proxies(environ: Mapping[str, str], pip: PipConfig) -> dict[str, str]:
    """The `proxy` option of pip wins over the variables, as in pip; NO_PROXY stays as it is."""
    if not pip.proxy:
        return {}
    proxy = pip.proxy if "://" in pip.proxy else f"http://{pip.proxy}"
    names = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")
    return {name: proxy for name in names if name.isupper() or name in environ}


def _is_there(link: str) -> bool:
    """Whether it exists: pip shrugs at a find-links folder that is not there; uv refuses to start."""
    if link.startswith("file:"):
        return Path(url2pathname(urlsplit(link).path)).exists()
    return "://" in link or Path(link).expanduser().exists()


def _is_trusted(netloc: str, trusted: Iterable[str]) -> bool:
    host = netloc.rsplit("@", 1)[-1]
    return any(name in {host, host.split(":", 1)[0]} for name in trusted)


def _whole(number: str) -> str:
    """For uv, which takes whole seconds where pip takes fractions."""
    try:
        return str(max(1, round(float(number)))) if number else ""
    except ValueError:
        return ""
