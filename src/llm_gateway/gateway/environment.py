"""The environment of the gateway's processes: quiet, offline-safe, and right about proxies.

Switches are read in LiteLLM 1.106.2's source; facts about their effect were measured there.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from llm_gateway.gateway import samples

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from llm_gateway.gateway.options import LauncherOptions

_GIB = 1024**3
# Measured with LiteLLM 1.106.2: the frozen parent 350 MB, a loaded worker up to 150 MB of its own, its query
# engine about 100 MB.
_PARENT_BYTES = 400 * 1024**2
_WORKER_BYTES = 300 * 1024**2
_MOST_WORKERS = 8
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_BUNDLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "AWS_CA_BUNDLE")


def quiet_environment() -> dict[str, str]:
    """What keeps LiteLLM from using the network at start, loading foreign `.env` files and advertising itself.

    A value the caller has set wins: merge as `{**quiet_environment(), **own}`.
    """
    return {
        # The remote price map costs up to 5 s and may end 1.106.2 with an ImportError; the rest are fetched lazily.
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",
        "LITELLM_LOCAL_BLOG_POSTS": "True",
        "LITELLM_LOCAL_POLICY_TEMPLATES": "True",
        "LITELLM_LOCAL_AUTOROUTER_PRESETS": "True",
        # DEV, the default, loads the nearest .env file.
        "LITELLM_MODE": "PRODUCTION",
        "LITELLM_DONT_SHOW_FEEDBACK_BOX": "true",
        "LITELLM_DISABLE_BUG_REPORT_LINK": "true",
        "LITELLM_DISABLE_NO_REDIS_WARNING": "true",
        # A Redis that was away is tried again after this many seconds; the default is 60 (seen: unused for 62).
        "REDIS_CIRCUIT_BREAKER_RECOVERY_TIMEOUT": "5",
        "CHECKPOINT_DISABLE": "1",
        "DO_NOT_TRACK": "1",
    }


def launch_environment(environ: Mapping[str, str], given: LauncherOptions, *, empty: bool = True) -> dict[str, str]:
    """The environment of the nursery and the workers: the caller's, with the launcher's own parts.

    Side effect: with several workers, or where the caller names one, the directory of Prometheus' samples is made
    and, with `empty`, emptied: before any worker, never beside one. Without it a single worker keeps its samples to
    itself, and the one that takes over at a reload would begin at 0.
    """
    environment = {**quiet_environment(), **_shutdown_limits(), **environ}
    # Both would replace what the launcher was told: a config of their own, and no byte-code at all (1.8 times slower).
    for name in ("CONFIG_FILE_PATH", "WORKER_CONFIG", "PYTHONDONTWRITEBYTECODE"):
        environment.pop(name, None)
    if given.log_level:
        environment["LITELLM_LOG"] = given.log_level
    named = environment.pop(samples.VARIABLE, "")
    if named or given.workers > 1:
        directory = Path(named or given.control.parent / "prometheus")
        environment[samples.VARIABLE] = str(directory)
        samples.prepare(directory, empty=empty)
    return environment


def _shutdown_limits() -> dict[str, str]:
    """Time limits of LiteLLM's own shutdown, after uvicorn's: the launcher promises an end within seconds."""
    return {
        "GRACEFUL_SHUTDOWN_TIMEOUT": "1",
        "SCHEDULED_JOB_SHUTDOWN_FINISH_TIMEOUT_SECONDS": "1",
        "SCHEDULED_JOB_SHUTDOWN_CANCEL_TIMEOUT_SECONDS": "1",
    }


def workers_default(cores: int, memory_bytes: int) -> int:
    """How many workers serve this machine best: one per core, as far as half of the memory goes.

    Two workers on two cores answer about twice as much as one; more than one per core adds nothing (LiteLLM
    is bound by the processor). The other half of the memory is for the database and what else runs.
    """
    room = (memory_bytes // 2 - _PARENT_BYTES) // _WORKER_BYTES
    return int(max(1, min(cores, room, _MOST_WORKERS)))


def network_environment(environ: Mapping[str, str], *, local_hosts: Iterable[str] = ()) -> dict[str, str]:
    """What a process needs so that providers are reached through the proxy and local services never are.

    * `NO_PROXY` and `no_proxy` (which wins in Python) get the same list: what both said, loopback, `local_hosts`.
    * One bundle of certificate authorities for everybody. LiteLLM's own clients (aiohttp and httpx) read
      `SSL_CERT_FILE` and nothing else; requests (OTLP exporters) reads `REQUESTS_CA_BUNDLE`, boto3
      `AWS_CA_BUNDLE`. The first one set fills the others. It replaces the public bundle, so a file with only
      the private authority trusts only that.

    The proxy variables themselves stay as they are: LiteLLM 1.106.2 reads them in both spellings, with
    credentials in the URL.

    Args:
        environ: the process's variables.
        local_hosts: hosts of this stack's services besides loopback; ports are ignored.

    Returns:
        The variables to set or replace.
    """
    changed: dict[str, str] = {}
    given = [entry.strip() for name in ("no_proxy", "NO_PROXY") for entry in environ.get(name, "").split(",")]
    if "*" not in given:
        hosts = dict.fromkeys(entry for entry in (*given, *_LOOPBACK, *local_hosts) if entry)
        changed |= dict.fromkeys(("NO_PROXY", "no_proxy"), ",".join(hosts))
    bundle = next((environ[name] for name in _BUNDLES if environ.get(name)), "")
    if bundle:
        changed |= {name: bundle for name in _BUNDLES if not environ.get(name)}
    return changed
