"""The steady client hides nothing: what a server does wrong stands in its report."""

from __future__ import annotations

import json
import socket
import struct
import threading
from contextlib import contextmanager

import httpx
import pytest

from support.launcher import until
from support.openai_upstream import serving
from support.steady_client import UnexpectedAnswerError, steady

STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
PIECE = {"model": "m", "choices": [{"delta": {"content": "half"}}]}


@contextmanager
def misbehaving(answer: bytes, *, reset: bool):
    """A server that reads a request, sends `answer` and ends the connection; counts the requests."""
    seen: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    request = connection.recv(65536)
                    while b"\r\n\r\n{" not in request:  # unread bytes would make the end a reset
                        request += connection.recv(65536)
                    seen.append(request)
                    connection.sendall(answer)
                    if reset:
                        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", seen
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_requests_and_streams_of_a_good_server_are_told_with_their_times():
    with serving() as upstream:
        upstream.pace(0.6, pieces=3)
        with steady(f"http://127.0.0.1:{upstream.port}", key="k", rate=50, streams=2, streamed="s") as client:
            until(lambda: len(client.report().of("stream")) >= 3)
            report = client.stop()
        assert {body["model"] for body in upstream.requests if body["stream"]} == {"s"}
        assert len(upstream.requests) == len(report.calls)
    assert report.failures == []
    assert {call.text for call in report.of("plain")} == {"from upstream"}
    assert {call.text for call in report.of("stream")} == {"first 0 1 2 last"}
    assert all(call.seconds >= 0.6 for call in report.of("stream"))
    assert 0.2 <= report.longest_gap < 1
    # two streams, the second half a second later: at least 0.6 s of plain requests at 50 a second
    assert len(report.saying("from upstream")) >= 30


def test_a_stall_is_seen_as_long_requests_and_delays_no_others():
    with serving() as upstream, steady(f"http://127.0.0.1:{upstream.port}", key="k", rate=50) as client:
        until(lambda: client.report().calls)
        upstream.open.clear()
        asked = len(upstream.requests)
        until(lambda: len(upstream.requests) >= asked + 25, reason="requests wait for one another")
        upstream.open.set()
        report = client.stop()
    assert report.failures == []
    assert report.longest_request >= 0.4


@pytest.mark.parametrize("streams", [0, 1])
def test_a_reset_connection_is_a_failure_and_no_request_is_sent_twice(streams):
    with misbehaving(STREAM_HEAD if streams else b"", reset=True) as (address, seen):
        with steady(address, key="k", rate=20 if not streams else 0.001, streams=streams) as client:
            until(lambda: len(client.report().failures) >= 3)
            report = client.stop()
        assert len(seen) == len(report.calls)
    assert report.answers == []
    assert all(isinstance(call.error, httpx.TransportError) for call in report.of("stream" if streams else "plain"))
    assert "Error" in str(report)


@pytest.mark.parametrize(
    "end", [b"", b'data: {"error": {"message": "worker gone"}}\n\n'], ids=["no end", "an error inside"]
)
def test_a_stream_that_is_cut_short_is_a_failure_although_its_status_was_200(end):
    answer = STREAM_HEAD + b"data: " + json.dumps(PIECE).encode() + b"\n\n" + end
    with misbehaving(answer, reset=False) as (address, _), steady(address, key="k", rate=0.001, streams=1) as client:
        until(lambda: client.report().of("stream"))
        call = client.stop().of("stream")[0]
    assert isinstance(call.error, UnexpectedAnswerError)
    assert call.text == "half"


def test_an_error_status_is_a_failure_with_its_text():
    answer = b"HTTP/1.1 503 No\r\ncontent-length: 7\r\nconnection: close\r\n\r\nnot yet"
    with misbehaving(answer, reset=False) as (address, _), steady(address, key="k", streams=1) as client:
        until(lambda: {call.kind for call in client.report().calls} == {"plain", "stream"})
        report = client.stop()
    assert {str(call.error) for call in report.failures} == {"503: not yet"}


def test_a_refused_connection_is_a_failure():
    with socket.socket() as bound:  # taken, but nobody listens
        bound.bind(("127.0.0.1", 0))
        with steady(f"http://127.0.0.1:{bound.getsockname()[1]}", key="k") as client:
            until(lambda: client.report().calls)
            assert isinstance(client.stop().failures[0].error, httpx.ConnectError)
