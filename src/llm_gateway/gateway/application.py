"""LiteLLM's ASGI app with a start that reports why it failed and that is warm when it ends."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

from llm_gateway.gateway.messages import one_line

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    Scope = MutableMapping[str, Any]
    Event = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Event]]
    Send = Callable[[Event], Awaitable[None]]
    App = Callable[[Scope, Receive, Send], Awaitable[None]]

_WARM_UP_SECONDS = 5.0


class Application:
    """Passes everything to the app; only the start-up is watched.

    Attributes:
        failure: why the start-up failed, "" while it did not.
    """

    def __init__(self, app: App) -> None:
        self._app = app
        self.failure = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return

        async def watched(event: Event) -> None:
            if event["type"] == "lifespan.startup.complete":
                await _warm_up(self._app, scope.get("state", {}))
            if event["type"] == "lifespan.startup.failed":
                # the app sends its traceback here and raises; one line is kept for the person
                event = {**event, "message": ""}
            await send(event)

        try:
            await self._app(scope, receive, watched)
        except BaseException as error:
            self.failure = one_line(error)
            raise


async def _warm_up(app: App, state: MutableMapping[str, Any]) -> None:
    """Run the paths of a first request while nobody waits for an answer.

    Requests that read only: a chat request, even a refused one, would reach callbacks and the spend log.
    Routing, middleware, authentication and serialisation are warm afterwards.
    """
    key = os.environ.get("LITELLM_MASTER_KEY", "")
    for path in ("/health/liveliness", "/v1/models"):
        request = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": b"",
            "headers": [(b"host", b"127.0.0.1"), (b"authorization", f"Bearer {key}".encode())],
            "client": ("127.0.0.1", 0),
            "server": ("127.0.0.1", 0),
            "state": dict(state),
        }
        try:
            await asyncio.wait_for(app(request, _empty_body, _discard), _WARM_UP_SECONDS)
        except Exception:  # noqa: BLE001 - a cold first request is slower, not wrong
            return


async def _empty_body() -> Event:
    return {"type": "http.request", "body": b"", "more_body": False}


async def _discard(_event: Event) -> None:
    return None
