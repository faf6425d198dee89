"""The control socket: JSON lines over a Unix socket that only its owner can open.

A request is `{"do": "status"}` or `{"do": "reload", "spec": FILE, "fresh": false}`; the answer is one line.
Both sides are here.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from typing import TYPE_CHECKING, Any

from llm_gateway.errors import GatewayError, PreconditionError
from llm_gateway.gateway import failures
from llm_gateway.gateway.messages import Lines, Message, encode, one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from llm_gateway.gateway.watch import Watch

_LONGEST_ADDRESS = 100  # sun_path holds 104 bytes on macOS, 108 on Linux


@contextlib.contextmanager
def _address(path: Path) -> Iterator[str]:
    """An address for the socket; a long path is reached through its open directory (Linux)."""
    if len(os.fsencode(path)) <= _LONGEST_ADDRESS:
        yield str(path)
        return
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)


def listen(path: Path) -> socket.socket:
    """Create the socket, replacing what a killed launcher left behind.

    Raises:
        PreconditionError: E505 a launcher answers there already, E506 it cannot be created.
    """
    server = socket.socket(socket.AF_UNIX)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _address(path) as address:
            _refuse_second(path, address)
            path.unlink(missing_ok=True)
            mask = os.umask(0o177)
            try:
                server.bind(address)
            finally:
                os.umask(mask)
    except OSError as error:
        server.close()
        raise PreconditionError(
            "E506",
            f"the control socket {path} cannot be created: {error.strerror or error}",
            cause="the directory is missing, not writable, or its path is too long",
            next=f"ls -ld {path.parent}",
        ) from error
    except PreconditionError:
        server.close()
        raise
    server.listen(8)
    server.settimeout(0)
    return server


def _refuse_second(path: Path, address: str) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(address)
        except OSError:
            return
    raise PreconditionError(
        "E505",
        f"a gateway runs already with the control socket {path}",
        cause="it was started before and has not been stopped",
        next="llm-gateway stop",
    )


class Answers:
    """The launcher's end: accepts clients and answers their requests.

    Args:
        server: from `listen`.
        watch: the launcher's loop.
        known: what can be asked: the request's `do`, and what makes the answer to it.
    """

    def __init__(self, server: socket.socket, watch: Watch, known: Mapping[str, Callable[[Message], Message]]) -> None:
        self._server = server
        self._watch = watch
        self._known = known
        watch.add(server, self._accept)

    def _accept(self) -> None:
        try:
            client, _ = self._server.accept()
        except OSError:
            return
        client.settimeout(0)
        lines = Lines()
        self._watch.add(client, lambda: self._read(client, lines))

    def _read(self, client: socket.socket, lines: Lines) -> None:
        try:
            chunk = client.recv(4096)
            for request in lines.feed(chunk):
                client.sendall(encode(self._answer(request)))
        except (OSError, ValueError):
            chunk = b""
        if not chunk:
            self._watch.remove(client)
            client.close()

    def _answer(self, request: Message) -> Message:
        make = self._known.get(str(request.get("do")))
        if make is None:
            return {"error": "unknown request"}
        try:
            return make(request)
        except GatewayError as error:
            problem = error.problem
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever an order holds, the workers serve on
            problem = failures.cannot_reload(one_line(error)).problem
        return {"problem": problem.as_dict()}


def ask(path: Path, *, do: str = "status", timeout: float = 3.0, **details: Any) -> Message:
    """Ask a running launcher.

    Returns:
        For `status`: pid, nursery, workers, draining, preload, config, address, version, reload. For `reload`: its
        number, or the `problem` that stops it.

    Raises:
        GatewayError: E507 nobody answers.
    """
    try:
        with socket.socket(socket.AF_UNIX) as client, _address(path) as address:
            client.settimeout(timeout)
            client.connect(address)
            client.sendall(encode({"do": do, **details}))
            lines = Lines()
            while chunk := client.recv(65536):
                for answer in lines.feed(chunk):
                    return answer
            raise ConnectionError("the connection ended")
    except (OSError, json.JSONDecodeError) as error:
        raise GatewayError(
            "E507",
            f"the gateway's control socket {path} does not answer ({error})",
            cause="the gateway does not run, or it is stopping",
            next="llm-gateway status",
        ) from error
