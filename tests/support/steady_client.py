"""A client that does not let up: plain requests at a fixed rate and streams, without a retry, every failure kept.

For tests that change a gateway under load: start it, do the change, `stop` it, look at the report.

    with steady(gateway.address, key=MASTER_KEY, streams=4, streamed="slow") as client:
        …
        report = client.stop()
    assert report.failures == []
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_PATH = "/v1/chat/completions"
_STAGGER = 0.5  # between the first starts of the streams, so that a change meets them at different places
_AFTER_FAILURE = 0.1  # a stream that cannot begin must not become a flood


class UnexpectedAnswerError(Exception):
    """An answer came, and it is not what was asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request. Times are `time.monotonic()`, durations seconds."""

    kind: str  # plain or stream
    sent: float
    seconds: float
    first: float = 0.0  # until the first piece of a stream
    gap: float = 0.0  # the longest silence of a stream after its first piece
    text: str = ""
    model: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    error: Exception | None = None

    @property
    def ended(self) -> float:
        return self.sent + self.seconds


@dataclass(frozen=True, slots=True)
class Report:
    """All calls that have ended, in the order in which they did."""

    calls: tuple[Call, ...]

    @property
    def failures(self) -> list[Call]:
        return [call for call in self.calls if call.error]

    @property
    def answers(self) -> list[Call]:
        return [call for call in self.calls if not call.error]

    def of(self, kind: str) -> list[Call]:
        return [call for call in self.calls if call.kind == kind]

    def saying(self, text: str) -> list[Call]:
        """The good answers that contain the text."""
        return [call for call in self.answers if text in call.text]

    @property
    def longest_request(self) -> float:
        """Seconds of the longest plain request, failed ones included."""
        return max((call.seconds for call in self.of("plain")), default=0.0)

    @property
    def longest_gap(self) -> float:
        """Seconds of the longest silence inside a stream, after its first piece."""
        return max((call.gap for call in self.of("stream")), default=0.0)

    @property
    def longest_first(self) -> float:
        """Seconds of the longest wait for the first piece of a stream."""
        return max((call.first for call in self.of("stream")), default=0.0)

    def __str__(self) -> str:
        wrong = [f"{call.kind} after {call.seconds:.2f} s: {call.error!r}" for call in self.failures]
        counts = f"{len(self.of('plain'))} plain, {len(self.of('stream'))} streams, {len(wrong)} failed"
        longest = f"request {self.longest_request:.2f} s, first piece {self.longest_first:.2f} s"
        return "\n".join([f"{counts}; longest {longest}, gap {self.longest_gap:.2f} s", *wrong])


class SteadyClient:
    """Sends until it is told to stop, from a thread with an event loop of its own.

    Plain requests go out when they are due, whether the earlier ones are answered or not: a stall delays its own
    requests only, and is seen in all of them.

    Args:
        address: of the gateway.
        key: the bearer token.
        plain: the model of the plain requests.
        streamed: the model of the streams.
        rate: plain requests per second.
        connections: kept alive and used in turns by the plain requests.
        fresh: how many more places in that turn take a new connection for each request.
        streams: how many run at any time; the upstream says how long one lasts.
        timeout: of one read; a call that waits longer has failed.
    """

    def __init__(
        self,
        address: str,
        *,
        key: str,
        plain: str = "demo-chat",
        streamed: str = "demo-chat",
        rate: float = 20.0,
        connections: int = 4,
        fresh: int = 1,
        streams: int = 0,
        timeout: float = 30.0,
    ) -> None:
        self._address = address
        self._key = key
        self._models = {"plain": plain, "stream": streamed}
        self._rate = rate
        self._kept = [True] * connections + [False] * fresh
        self._streams = streams
        self._timeout = timeout
        self._calls: list[Call] = []
        self._numbers = itertools.count(1)
        self._stopping, self._begun = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="steady client")

    def start(self) -> None:
        self._thread.start()

    def report(self) -> Report:
        """What has ended until now."""
        return Report(tuple(self._calls))

    def stop(self) -> Report:
        """Send nothing new, wait for what is under way."""
        self._stopping.set()
        self._begun.wait()
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._ending.set)
        self._thread.join()
        return self.report()

    async def _run(self) -> None:
        self._loop, self._ending = asyncio.get_running_loop(), asyncio.Event()
        self._begun.set()
        async with contextlib.AsyncExitStack() as clients:
            lanes = [await clients.enter_async_context(self._client(keep=keep)) for keep in self._kept]
            streams = [await clients.enter_async_context(self._client(keep=True)) for _ in range(self._streams)]
            async with asyncio.TaskGroup() as tasks:
                for number, client in enumerate(streams):
                    tasks.create_task(self._stream_on(client, number * _STAGGER))
                due = time.monotonic()
                for client in itertools.cycle(lanes):
                    if not await self._until(due):
                        return
                    tasks.create_task(self._plain(client))
                    due += 1 / self._rate

    def _client(self, *, keep: bool) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            base_url=self._address,
            headers={"Authorization": f"Bearer {self._key}"},
            timeout=self._timeout,
            limits=httpx.Limits(max_keepalive_connections=None if keep else 0, keepalive_expiry=None),
            trust_env=False,
        )

    async def _until(self, moment: float) -> bool:
        """Wait for a moment; False as soon as the client shall stop."""
        while not self._stopping.is_set():
            left = moment - time.monotonic()
            if left <= 0:
                return True
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), left)
        return False

    def _body(self, kind: str) -> dict[str, Any]:
        # each its own words: no cache answers for the gateway
        message = {"role": "user", "content": f"request {next(self._numbers)}"}
        return {"model": self._models[kind], "messages": [message], "stream": kind == "stream"}

    async def _plain(self, client: httpx.AsyncClient) -> None:
        sent = time.monotonic()
        seen: dict[str, Any] = {}
        try:
            answer = await client.post(_PATH, json=self._body("plain"))
            _check(answer, answer.text)
            body = answer.json()
            seen = {"text": body["choices"][0]["message"]["content"], "model": body["model"]}
            seen["headers"] = dict(answer.headers)
        except Exception as error:  # noqa: BLE001 - whatever it is, the report tells it
            seen["error"] = error
        self._calls.append(Call(kind="plain", sent=sent, seconds=time.monotonic() - sent, **seen))

    async def _stream_on(self, client: httpx.AsyncClient, delay: float) -> None:
        moment = time.monotonic() + delay
        while await self._until(moment):
            call = await self._stream(client)
            self._calls.append(call)
            moment = call.ended + (_AFTER_FAILURE if call.error else 0)

    async def _stream(self, client: httpx.AsyncClient) -> Call:
        sent = time.monotonic()
        pieces = _Pieces()
        headers: dict[str, str] = {}
        error: Exception | None = None
        try:
            async with client.stream("POST", _PATH, json=self._body("stream")) as answer:
                headers = dict(answer.headers)
                _check(answer, "" if answer.status_code == 200 else (await answer.aread()).decode())
                async for line in answer.aiter_lines():
                    pieces.take(line)
            pieces.check_end()
        except Exception as problem:  # noqa: BLE001 - as above
            error = problem
        now = time.monotonic()
        pieces.tick(now)
        return Call(
            kind="stream",
            sent=sent,
            seconds=now - sent,
            first=pieces.first - sent,
            gap=pieces.gap,
            text="".join(pieces.texts),
            model=pieces.model,
            headers=headers,
            error=error,
        )


class _Pieces:
    """Reads the server-sent events of one stream."""

    def __init__(self) -> None:
        self.first = 0.0
        self.gap = 0.0
        self.texts: list[str] = []
        self.model = ""
        self._last = 0.0
        self._done = False

    def tick(self, now: float) -> None:
        """Something was heard, be it the end."""
        self.first = self.first or now
        self.gap = max(self.gap, now - (self._last or now))
        self._last = now

    def take(self, line: str) -> None:
        if not line.startswith("data: "):
            return
        self.tick(time.monotonic())
        data = line.removeprefix("data: ")
        if data == "[DONE]":
            self._done = True
            return
        event = json.loads(data)
        if "error" in event:
            raise UnexpectedAnswerError(data)
        self.model = event["model"]
        self.texts += [choice["delta"].get("content") or "" for choice in event["choices"]]

    def check_end(self) -> None:
        if not self._done:
            raise UnexpectedAnswerError(f"the stream ended without [DONE] after {''.join(self.texts)!r}")


def _check(answer: httpx.Response, text: str) -> None:
    if answer.status_code != 200:
        raise UnexpectedAnswerError(f"{answer.status_code}: {text[:500]}")


@contextlib.contextmanager
def steady(address: str, **options: Any) -> Iterator[SteadyClient]:
    """A running client; stopped at the end in any case. Takes the arguments of `SteadyClient`."""
    client = SteadyClient(address, **options)
    client.start()
    try:
        yield client
    finally:
        client.stop()
