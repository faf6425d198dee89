"""Start both services in one process, each on a port of its own."""

from __future__ import annotations

import argparse
import errno
import gc
import logging
import os
import signal
import socket
import sys
from typing import TYPE_CHECKING, Any

from waitress.server import create_server

from .analyzer import Analyzer, build_engine
from .anonymizer import Anonymizer
from .web import LARGEST_BODY, Api, Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

# Waitress refuses bodies of this size, by their announced length before it reads them. The first byte too many still
# comes through, so that a body which is just too large gets an answer in the service's own form.
_HARD_LIMIT = LARGEST_BODY + 2
_CONNECTIONS = 64  # their bodies are held in memory; further ones wait in the kernel's queue
_IDLE_SECONDS = 60  # clients close theirs earlier; one that does not keeps no place for long
_AT_ONCE = 2  # see Analyzer
_THREADS = 16  # most wait for their turn in the analyzer; the health page needs one too


def main() -> None:
    """Serve until SIGTERM."""
    given = _arguments()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # that requests wait for their turn is no news
    try:
        engine = build_engine(dict(given.model))
    except OSError as error:
        sys.exit(f"presidio-server: {error}")
    analyzer = Analyzer(engine, at_once=min(_AT_ONCE, os.cpu_count() or 1)).api
    anonymizer = Anonymizer().api
    warm_up(analyzer, anonymizer, [language for language, _ in given.model])
    gc.collect()
    gc.freeze()
    by_port = {given.analyzer_port: analyzer, given.anonymizer_port: anonymizer}
    server = create_server(
        application(by_port),
        sockets=[listener for port in by_port for listener in _listening(port)],
        threads=_THREADS,
        ident="presidio",
        connection_limit=_CONNECTIONS,
        channel_timeout=_IDLE_SECONDS,
        max_request_body_size=_HARD_LIMIT,
        # Texts with personal data stay in memory: beyond this size they would be written to a temporary file.
        inbuf_overflow=_HARD_LIMIT + 1,
        outbuf_overflow=_HARD_LIMIT + 1,
    )
    signal.signal(signal.SIGTERM, _end)
    server.run()


def _end(*_: object) -> None:
    raise SystemExit(0)


def application(by_port: Mapping[int, Api]) -> Callable[..., Iterable[bytes]]:
    """Both services as one WSGI application; which of them answers depends on the port of the request alone."""

    def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        request = Request(
            method=environ["REQUEST_METHOD"],
            path=environ.get("PATH_INFO", ""),
            query=environ.get("QUERY_STRING", ""),
            content_type=environ.get("CONTENT_TYPE", ""),
            body=environ["wsgi.input"].read(LARGEST_BODY + 1),
        )
        response = by_port[int(environ["SERVER_PORT"])].answer(request)
        headers = [("Content-Type", response.content_type), ("Content-Length", str(len(response.body)))]
        start_response(response.status_line, headers)
        return [b"" if request.method == "HEAD" else response.body]

    return wsgi


def warm_up(analyzer: Api, anonymizer: Api, languages: Iterable[str]) -> None:
    """One request for each language: what Presidio loads at the first one is loaded before the ports open.

    Raises:
        SystemExit: Presidio does not find an e-mail address.
    """
    body = b'{"text": "Write to kit@example.com, please.", "language": "%s"}'
    for language in languages:
        found = analyzer.answer(Request("POST", "/analyze", "", "application/json", body % language.encode()))
        if found.status != 200 or b"EMAIL_ADDRESS" not in found.body:
            sys.exit(f"presidio-server: the analyzer does not work for {language}: {found.body.decode()}")
    masking = b'{"text": "a", "analyzer_results": [{"entity_type": "A", "start": 0, "end": 1, "score": 1}]}'
    masked = anonymizer.answer(Request("POST", "/anonymize", "", "application/json", masking))
    if masked.status != 200:
        sys.exit(f"presidio-server: the anonymizer does not work: {masked.body.decode()}")


def _listening(port: int) -> list[socket.socket]:
    """Loopback, both kinds: a client that is told `localhost` may try ::1 first, where nobody else must answer."""
    sockets = []
    for host, family in (("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)):
        try:
            sockets.append(socket.create_server((host, port), family=family, backlog=256))
        except OSError as error:
            if family == socket.AF_INET6 and error.errno != errno.EADDRINUSE:
                continue  # no IPv6 here
            sys.exit(f"presidio-server: cannot listen on {host}, port {port}: {os.strerror(error.errno or 0)}")
    return sockets


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="presidio-server", description=__doc__)
    parser.add_argument("--analyzer-port", type=int, required=True)
    parser.add_argument("--anonymizer-port", type=int, required=True)
    parser.add_argument("--model", action="append", type=_model, required=True, metavar="LANGUAGE=PACKAGE|DIRECTORY")
    return parser.parse_args()


def _model(text: str) -> tuple[str, str]:
    language, _, model = text.partition("=")
    if not language or not model:
        raise argparse.ArgumentTypeError("LANGUAGE=PACKAGE or LANGUAGE=DIRECTORY")
    return language, model
