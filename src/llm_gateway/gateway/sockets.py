"""The listening socket, which outlives every worker."""

from __future__ import annotations

import errno
import socket

from llm_gateway.errors import PreconditionError

_BACKLOG = 2048


def bind_listener(host: str, port: int) -> socket.socket:
    """Bind and listen; connections that arrive before a worker is ready wait in the backlog.

    Args:
        host: a name, an IPv4 or an IPv6 address.
        port: 0 takes any free port.

    Raises:
        PreconditionError: E503 the port is taken, E504 the address cannot be used.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise _unusable(host, port, error) from error
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise _taken(host, port) from error
        raise _unusable(host, port, error) from error
    listener.settimeout(0)
    return listener


def _taken(host: str, port: int) -> PreconditionError:
    holder = _holder(port)
    return PreconditionError(
        "E503",
        f"port {port} on {host} is taken" + (f" by {holder}" if holder else ""),
        cause="another program listens there" if not holder else f"{holder} listens there",
        next="stop that program, or choose another port with LLM_GATEWAY_PORT",
    )


def _unusable(host: str, port: int, error: OSError) -> PreconditionError:
    return PreconditionError(
        "E504",
        f"cannot listen on {host}:{port}: {error.strerror or error}",
        cause="the address does not belong to this machine, or the port needs more rights",
        next="choose another address with LLM_GATEWAY_BIND, or a port above 1023 with LLM_GATEWAY_PORT",
    )


def _holder(port: int) -> str:
    """Who listens on the port, as far as this user may know; psutil is loaded only for this error."""
    import psutil  # noqa: PLC0415 - 6 MB that a healthy supervisor never needs

    try:
        for connection in psutil.net_connections(kind="tcp"):
            here = connection.status == psutil.CONN_LISTEN and getattr(connection.laddr, "port", 0) == port
            if here and connection.pid:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
    except (psutil.Error, OSError):
        pass
    return ""
