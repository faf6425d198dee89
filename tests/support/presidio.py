"""The kit's own Presidio for tests, and a provider that keeps what reached it."""

from __future__ import annotations

import functools
import json
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from doubles.openai_compatible import OpenAICompatible
from doubles.server import Answer
from llm_gateway import presidio_server
from llm_gateway.bootstrap.install import ensure_venv
from llm_gateway.masking import PACKAGED
from llm_gateway.probes import Deadline, wait
from llm_gateway.requirements import requirements
from llm_gateway.services.presidio import ENVIRONMENT, PresidioProbe
from support.home import free_ports, shared_venvs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from doubles.server import Request

# One of each kind that must never leave, and the sentence that they stand in.
SECRETS = ("John Smith", "john.smith@example.com", "212-555-0123", "4111 1111 1111 1111", "DE89370400440532013000")
TEXT = (
    "I am John Smith, mail john.smith@example.com, phone 212-555-0123, card 4111 1111 1111 1111, "
    "IBAN DE89370400440532013000. Thank you."
)


@functools.cache
def python() -> Path:
    """The interpreter of the venv that the homes of this session share, with Presidio in it."""
    with tempfile.TemporaryDirectory() as root:
        (Path(root) / "venvs").symlink_to(shared_venvs())
        return ensure_venv(Path(root), "presidio", requirements("presidio")).resolve() / "bin" / "python"


@dataclass
class Server:
    """A running server."""

    process: subprocess.Popen[str]
    analyzer: str
    anonymizer: str

    def analyze(self, **body: Any) -> httpx.Response:
        return httpx.post(f"{self.analyzer}/analyze", json={"language": "en", **body}, timeout=30, trust_env=False)

    def anonymize(self, **body: Any) -> httpx.Response:
        return httpx.post(f"{self.anonymizer}/anonymize", json=body, timeout=30, trust_env=False)


@contextmanager
def serving(*, environ: dict[str, str] | None = None) -> Iterator[Server]:
    """The server without a gateway. Its stderr is in `process.stderr` when it has ended."""
    analyzer, anonymizer = free_ports(2)
    command = [python(), Path(presidio_server.__file__).parent, "--model", f"en={PACKAGED['en']}"]
    command += ["--analyzer-port", str(analyzer), "--anonymizer-port", str(anonymizer)]
    # A bare environment, as the trampoline gives it.
    process = subprocess.Popen(command, env={**ENVIRONMENT, **(environ or {})}, stderr=subprocess.PIPE, text=True)
    server = Server(process, f"http://127.0.0.1:{analyzer}", f"http://127.0.0.1:{anonymizer}")
    try:
        reason = wait(
            PresidioProbe(server.analyzer, server.anonymizer),
            Deadline(60),
            alive=lambda: "" if process.poll() is None else "it ended",
        )
        assert not reason, reason
        yield server
    finally:
        process.terminate()
        process.wait(10)
        if process.stderr:
            process.stderr.close()


@dataclass
class Provider(OpenAICompatible):
    """Answers each kind of call; `says` is what its models answer."""

    models: tuple[str, ...] = ("m",)
    says: str = ""

    @property
    def sent(self) -> str:
        """Everything that reached it."""
        return json.dumps([request.body for request in self.requests if request.method == "POST"])

    def answer(self, request: Request) -> Answer:
        if request.path == "/v1/responses":
            return Answer(body=_response())
        answer = super().answer(request)
        if self.says and answer.status == 200 and "choices" in (answer.body or {}):
            answer.body["choices"][0]["message"]["content"] = self.says
        return answer


def _response() -> dict[str, Any]:
    content = {"type": "output_text", "text": "Noted.", "annotations": []}
    message = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [content]}
    usage = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}
    head = {"id": "resp_1", "object": "response", "created_at": 1, "model": "m", "status": "completed"}
    return {
        **head,
        "output": [message],
        "usage": usage,
        "parallel_tool_calls": False,
        "tool_choice": "auto",
        "tools": [],
    }
