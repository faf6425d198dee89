"""supervisord under the kit: it restarts what crashes; the kit orders, probes and rolls back through its RPC.

Facts: facts/libraries.md section 1. The configuration holds no command line of a service and no secret: each program
is the kit's trampoline with the name of a spec file.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import xmlrpc.client
from typing import TYPE_CHECKING, Any

import psutil
from supervisor.xmlrpc import SupervisorTransport

from llm_gateway.errors import GatewayError, InputError
from llm_gateway.files import read_json, write_atomic, write_json
from llm_gateway.probes import Deadline, wait

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from llm_gateway.paths import Home
    from llm_gateway.services.base import Process

_LOG_BYTES, _LOG_COPIES = "10MB", 3
_PYTHON = "LLM_GATEWAY_SERVICE_PYTHON"  # how the services' shell line learns the interpreter
_RPC_ERRORS = (OSError, xmlrpc.client.Error)


class Supervisor:
    """The supervisord of one home.

    Args:
        home: where its configuration, socket and logs stand.
    """

    def __init__(self, home: Home) -> None:
        self._home = home
        self._socket = home.socket("supervisor.sock")
        self._config = home.state / "supervisord.conf"
        self._pid_file = home.state / "supervisord.json"

    @property
    def pid(self) -> int:
        """Its process id, 0 when none was recorded."""
        return int(self._record().get("pid", 0))

    def _record(self) -> dict[str, Any]:
        """What is known of its processes. It only helps to clean up: a damaged record is like none."""
        with contextlib.suppress(InputError):
            return read_json(self._pid_file)
        return {}

    def alive(self) -> bool:
        """Does it answer?"""
        with contextlib.suppress(*_RPC_ERRORS):
            return bool(self._rpc().getState())
        return False

    def spawn(self, processes: Iterable[Process]) -> None:
        """Start it, detached from this process, with every program known and none running.

        Raises:
            GatewayError: E310, it did not answer within 10 s; shows the end of its log.
        """
        self.clean_up()
        self._home.create()  # the clean-up removed the socket's directory, if that is outside the home
        log = self._home.log("supervisord")
        write_atomic(self._config, self._render(processes))
        environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        environ[_PYTHON] = sys.executable
        with log.open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "supervisor.supervisord", "-n", "-c", str(self._config)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environ,
                cwd=self._home.state,
                start_new_session=True,
            )
        write_json(self._pid_file, {"pid": process.pid, "started": psutil.Process(process.pid).create_time()})
        reason = wait(
            lambda: "" if self.alive() else "supervisord does not answer",
            Deadline(10),
            alive=lambda: "supervisord ended at once" if process.poll() is not None else "",
        )
        if reason:
            raise GatewayError(
                "E310",
                f"The process supervisor did not start: {reason}.",
                cause="\n".join(log.read_text(errors="replace").splitlines()[-4:]),
                next="llm-gateway doctor",
            )

    def clean_up(self) -> None:
        """End what a killed supervisord left behind, so that its ports and data are free.

        On Linux its children end with it (PR_SET_PDEATHSIG); this waits for them, and serves other systems.
        A supervisord that no longer answers goes first: it would start its children again.
        """
        record = self._record()
        children = _alive(record.get("children", []))
        _end(_alive([record] if record else []))
        _end([*(below for child in children for below in _children(child)), *children])
        self._socket.unlink(missing_ok=True)
        self._pid_file.unlink(missing_ok=True)
        if not self._socket.is_relative_to(self._home.root):
            shutil.rmtree(self._socket.parent, ignore_errors=True)

    def _record_children(self) -> None:
        """Remember the pids of the programs, so that `clean_up` finds them when supervisord was killed."""
        children = []
        for info in self.states().values():
            with contextlib.suppress(psutil.Error):
                if info["pid"]:
                    children.append({"pid": info["pid"], "started": psutil.Process(info["pid"]).create_time()})
        write_json(self._pid_file, {**self._record(), "children": children})

    def start(self, name: str) -> None:
        """Start one program; returns as soon as its process exists. Does nothing when it runs.

        Raises:
            GatewayError: E311, supervisord refuses.
        """
        if self.states().get(name, {}).get("statename") in {"RUNNING", "STARTING"}:
            return
        try:
            self._rpc().startProcess(name, False)  # noqa: FBT003 - the RPC's positional `wait`
        except xmlrpc.client.Fault as fault:
            if "ALREADY_STARTED" not in str(fault.faultString):
                raise GatewayError(
                    "E311",
                    f"{name} could not be started: {fault.faultString}.",
                    cause="Its program cannot be run.",
                    next=f"llm-gateway logs {name}",
                ) from None
        self._record_children()

    def stop(self, name: str) -> None:
        """Stop one program and wait for its end."""
        with contextlib.suppress(*_RPC_ERRORS):
            self._rpc().stopProcess(name)

    def states(self) -> dict[str, dict[str, Any]]:
        """What supervisord knows of each program: statename, pid, start (epoch seconds), spawnerr and more."""
        try:
            answer: Any = self._rpc().getAllProcessInfo()
        except _RPC_ERRORS:
            return {}
        return {info["name"]: info for info in answer}

    def shutdown(self, *, first: Iterable[str] = ()) -> None:
        """Stop the programs (those in `first` before the others) and supervisord itself; waits for the end."""
        if self.alive():
            for name in first:
                self.stop(name)
            with contextlib.suppress(*_RPC_ERRORS, psutil.Error):
                itself = psutil.Process(self._rpc().getPID())
                self._rpc().shutdown()
                psutil.wait_procs([itself], timeout=12)
        self.clean_up()

    def _rpc(self) -> Any:
        transport = SupervisorTransport(None, None, f"unix://{self._socket}")
        return xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport).supervisor

    def _render(self, processes: Iterable[Process]) -> str:
        """Supervisord's configuration, without any path of the home or of Python.

        It expands `%`, some values twice, and cuts values at ` ;` and ` #`; a person's path may hold all of these.
        Relative paths are relative to `state`, where it runs.
        """
        user = "\nuser=root" if os.geteuid() == 0 else ""
        inside = self._socket.is_relative_to(self._home.state)
        socket = self._socket.relative_to(self._home.state) if inside else self._socket
        parts = [
            f"[unix_http_server]\nfile={socket}\nchmod=0700",
            f"[supervisord]\nlogfile=/dev/null\nlogfile_maxbytes=0\npidfile=supervisord.pid{user}",
            (
                "[rpcinterface:supervisor]\n"  # supervisord's own spelling of its RPC
                "supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface"
            ),
        ]
        for process in processes:
            spec = self._home.spec(process.name).relative_to(self._home.state)
            command = f"""/bin/sh -c 'exec "${_PYTHON}" -m llm_gateway.engines.trampoline {spec}'"""
            parts.append(
                f"[program:{process.name}]\ncommand={command}\nautostart=false\nautorestart=true\n"
                f"startsecs=1\nstartretries=10\nstopsignal={process.stop_signal}\n"
                f"stopwaitsecs={process.stop_seconds}\nkillasgroup=true\nredirect_stderr=true\n"
                f"stdout_logfile=../logs/{self._home.log(process.name).name}\n"
                f"stdout_logfile_maxbytes={_LOG_BYTES}\nstdout_logfile_backups={_LOG_COPIES}"
            )
        return "\n\n".join(parts) + "\n"


def _alive(entries: Iterable[Mapping[str, Any]]) -> list[psutil.Process]:
    """The processes of a record that still run; a pid that somebody else has meanwhile is none of them."""
    found = []
    for entry in entries:
        with contextlib.suppress(psutil.Error, KeyError):
            process = psutil.Process(entry["pid"])
            if abs(process.create_time() - entry["started"]) < 1:
                found.append(process)
    return found


def _children(process: psutil.Process) -> list[psutil.Process]:
    with contextlib.suppress(psutil.Error):
        return process.children(recursive=True)
    return []


def _end(processes: Sequence[psutil.Process]) -> None:
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    _, stubborn = psutil.wait_procs(processes, timeout=8)
    for process in stubborn:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(stubborn, timeout=3)
