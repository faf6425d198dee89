"""A custom callback for tests: copied beside a config, imported by the workers, it writes down what it sees.

Each line of the file `RECORDER_FILE` is one JSON object with the process id and the version of this file.
"""

from __future__ import annotations

import json
import os
import random
import secrets
import uuid
from pathlib import Path
from typing import Any

import fastuuid
import numpy as np
from litellm.integrations.custom_logger import CustomLogger
from litellm.proxy import proxy_server
from opentelemetry.sdk.resources import Resource

VERSION = "one"


def note(event: str, **more: Any) -> None:
    line = json.dumps({"event": event, "pid": os.getpid(), "version": VERSION, **more})
    with Path(os.environ["RECORDER_FILE"]).open("a", encoding="utf-8") as file:
        file.write(f"{line}\n")


class Recorder(CustomLogger):
    async def async_log_success_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
        note("success", call=kwargs["litellm_call_id"], hit=bool(kwargs.get("cache_hit")))

    async def async_log_failure_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
        note("failure", call=kwargs["litellm_call_id"])


def identity() -> dict[str, str]:
    """What no two workers may have in common."""
    lock = proxy_server.proxy_logging_obj.db_spend_update_writer.pod_lock_manager
    return {
        "random": str(random.random()),
        "numpy": str(np.random.random()),  # noqa: NPY002 - the global generator is the one that a fork copies
        "secrets": secrets.token_hex(16),
        "uuid4": str(uuid.uuid4()),
        "fastuuid": str(fastuuid.uuid4()),  # LiteLLM's call ids
        "pod lock": lock.pod_id,
        "OpenTelemetry instance": str(Resource.create().attributes["service.instance.id"]),
    }


note("import", identity=identity())
recorder = Recorder()
