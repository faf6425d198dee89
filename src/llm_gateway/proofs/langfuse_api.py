"""Reading a trace back from Langfuse, from version 4 and from version 3.

The Langfuse SDK has a client for this, too; it costs a second of imports and knows nothing of the gateway's proxy.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from llm_gateway.doctor import langfuse as doctor
from llm_gateway.files import read_json
from llm_gateway.model_config.redaction import address
from llm_gateway.services.network import with_scheme

if TYPE_CHECKING:
    from collections.abc import Mapping

    import httpx

    from llm_gateway.services.base import Stack

_FIELDS = "core,basic,io,usage,metadata,model,trace_context"


class Server:
    """The server that the gateway's variables name.

    Attributes:
        shown: its address without credentials.
    """

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = dict(values)
        self.shown = address(with_scheme(values["LANGFUSE_HOST"]).rstrip("/"))

    def call(self, trace_id: str, session: str) -> list[dict[str, Any]]:
        """What is shown of a call by now, in the words of `_plain`; nothing while the server does not answer.

        The callback `langfuse_otel` takes a call's session over, and no id of a trace (LiteLLM 1.106.2).
        """
        import httpx  # noqa: PLC0415 - a proof has it loaded, a plan need not

        host, public, secret = (self._values[f"LANGFUSE_{name}"] for name in ("HOST", "PUBLIC_KEY", "SECRET_KEY"))
        try:
            with doctor.opened(host, public, secret, environ=self._values) as client:
                return _of(client, traceId=trace_id) or _of(client, sessionId=session)
        except (httpx.HTTPError, ValueError, KeyError, TypeError, OSError):
            return []


def _of(client: httpx.Client, **wanted: str) -> list[dict[str, Any]]:
    answer = client.get("/api/public/v2/observations", params={**wanted, "fields": _FIELDS})
    if answer.status_code != 404:
        return [_plain(item) for item in answer.raise_for_status().json()["data"]]
    return _of_version_3(client, wanted["traceId"]) if "traceId" in wanted else []


def _of_version_3(client: httpx.Client, trace_id: str) -> list[dict[str, Any]]:
    """There the trace has what version 4 shows with each observation."""
    trace = client.get(f"/api/public/traces/{trace_id}").raise_for_status().json()
    of_trace = {name: trace.get(name) for name in ("userId", "sessionId", "tags")}
    return [_plain({**item, **of_trace}) for item in trace["observations"]]


def _plain(item: Mapping[str, Any]) -> dict[str, Any]:
    """An observation under short names."""
    cost = (item.get("costDetails") or {}).get("total", item.get("totalCost"))
    return {
        "id": item["id"],
        "trace": item["traceId"],
        "type": item["type"],
        "level": item.get("level"),
        "message": item.get("statusMessage") or "",
        "model": item.get("model"),
        "usage": item.get("usageDetails") or {},
        "cost": float(cost) if cost is not None else None,
        "user": item.get("userId"),
        "session": item.get("sessionId"),
        "tags": item.get("tags") or [],
        "input": item.get("input"),
        "output": item.get("output"),
    }


def edited_since_start(stack: Stack) -> bool:
    """Is `.env` another one than the running gateway was started with?"""
    known = read_json(stack.home.running_file).get("files", {}).get(str(stack.home.env_file))
    try:
        return known is not None and hashlib.sha256(stack.home.env_file.read_bytes()).hexdigest() != known
    except OSError:
        return False
