#!/usr/bin/env python3
"""Record which modules LiteLLM imports only while it starts up and answers its first requests.

    python scripts/record_lazy_modules.py

The nursery imports them before it forks. Run it in the tests' virtual environment after a change of the LiteLLM
version; it rewrites src/llm_gateway/gateway/lazy_modules.json. It serves LiteLLM's app against an upstream on
loopback: chat, a stream, embeddings, refused requests, the model list, health; first without a database, then with a
PostgreSQL of this machine, which adds modules.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.metadata
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from llm_gateway.gateway.environment import quiet_environment
from llm_gateway.prisma_wasm.install import prepare_client
from llm_gateway.prisma_wasm.migrate import apply
from llm_gateway.probes import Deadline
from llm_gateway.progress import Progress
from support.postgres import cluster

if TYPE_CHECKING:
    from collections.abc import Iterator

TARGET = Path(__file__).parents[1] / "src/llm_gateway/gateway/lazy_modules.json"
KEY = "sk-record-lazy-modules-0000"
CHAT = {"messages": [{"role": "user", "content": "hello"}]}
COMPLETION = {
    "id": "1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hi"}}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}
CHUNK = {
    "id": "1",
    "object": "chat.completion.chunk",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "delta": {"role": "assistant", "content": "hi"}, "finish_reason": None}],
}
EMBEDDING = {
    "object": "list",
    "model": "m",
    "data": [{"object": "embedding", "index": 0, "embedding": [0.5]}],
    "usage": {"prompt_tokens": 1, "total_tokens": 1},
}


async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer one request as an OpenAI-compatible server would."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = next((int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.startswith(b"content-length")), 0)
    request = json.loads(await reader.readexactly(length) or b"{}")
    kind, body = "application/json", json.dumps(EMBEDDING if b"/embeddings" in head else COMPLETION)
    if request.get("stream"):
        last = {**CHUNK, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
        kind = "text/event-stream"
        body = "".join(f"data: {text}\n\n" for text in (json.dumps(CHUNK), json.dumps(last), "[DONE]"))
    answer = f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
    writer.write((answer + body).encode())
    await writer.drain()
    writer.close()


def requests() -> Iterator[tuple[str, str, dict[str, Any] | None]]:
    """What people send first."""
    yield "GET", "/health/liveliness", None
    yield "GET", "/health/readiness", None
    yield "GET", "/v1/models", None
    for model in ("chat", "mock", "missing"):
        yield "POST", "/v1/chat/completions", {"model": model, **CHAT}
        yield "POST", "/v1/chat/completions", {"model": model, "stream": True, **CHAT}
    yield "POST", "/v1/embeddings", {"model": "embed", "input": "hello"}
    yield "POST", "/v1/embeddings", {"model": "embed-mock", "input": "hello"}
    yield "POST", "/key/generate", {}


async def record(config: Path) -> set[str]:
    """Serve the app in this process and return what the requests imported."""
    import httpx  # noqa: PLC0415 - LiteLLM has imported it by now

    app = importlib.import_module("litellm.proxy.proxy_server").app
    server = await asyncio.start_server(upstream, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    model = {"api_base": f"http://127.0.0.1:{port}/v1", "api_key": "none"}
    models = {
        "chat": {"model": "openai/m", **model},
        "mock": {"model": "openai/m", "mock_response": "hi"},
        "embed": {"model": "openai/e", **model},
        "embed-mock": {"model": "openai/e", "mock_response": [0.5]},
    }
    named = [{"model_name": name, "litellm_params": parameters} for name, parameters in models.items()]
    config.write_text(json.dumps({"model_list": named}), encoding="utf-8")  # noqa: ASYNC240 - nothing else runs yet
    before = {*sys.modules, "prisma", "prisma.client"}  # the nursery's own business
    async with server, app.router.lifespan_context(app):
        client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway")
        async with client:
            for method, path, body in requests():
                answer = await client.request(method, path, json=body, headers={"Authorization": f"Bearer {KEY}"})
                print(f"{answer.status_code} {method} {path}", file=sys.stderr)
            await asyncio.sleep(0.5)  # success logging runs behind the answers
    return set(sys.modules) - before


def observe() -> None:
    """Print what this process imports, as JSON."""
    from llm_gateway.gateway import nursery  # noqa: PLC0415 - after the environment is set

    for name in nursery.EAGER_MODULES:
        importlib.import_module(name)
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "config.yaml")
        os.environ["WORKER_CONFIG"] = json.dumps({"config": str(config)})
        modules = asyncio.run(record(config))
    json.dump(sorted(modules), OUTPUT)


def observed(environment: dict[str, str]) -> list[str]:
    """What a fresh process with this environment imports."""
    quiet = {**quiet_environment(), "LITELLM_MASTER_KEY": KEY, "LITELLM_SALT_KEY": KEY, "OPENBLAS_NUM_THREADS": "1"}
    kept = {name: value for name, value in os.environ.items() if name not in {"DATABASE_URL", "CONFIG_FILE_PATH"}}
    done = subprocess.run(
        [sys.executable, __file__, "observe"], env={**kept, **quiet, **environment}, check=True, stdout=subprocess.PIPE
    )
    names: list[str] = json.loads(done.stdout)
    return names


def main() -> None:
    alone = observed({})
    with cluster() as postgres, tempfile.TemporaryDirectory() as folder:
        database = postgres.create_database()
        apply(postgres.url(database), deadline=Deadline(120))
        runtime = prepare_client(
            python=Path(sys.executable), directory=Path(folder), environment=dict(os.environ), progress=Progress()
        )
        variables = {"DATABASE_URL": postgres.url(database), "STORE_MODEL_IN_DB": "True", **runtime.environment()}
        more = sorted({*observed(variables)} - {*alone})
    recorded = {"litellm": importlib.metadata.version("litellm"), "modules": alone, "with_database": more}
    TARGET.write_text(json.dumps(recorded, indent=0) + "\n", encoding="utf-8")
    print(f"{len(alone)} modules, {len(more)} more with a database -> {TARGET}", file=sys.stderr)


if __name__ == "__main__":
    if sys.argv[1:] == ["observe"]:
        # LiteLLM prints, too: what it says goes to stderr.
        OUTPUT = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)
        observe()
        OUTPUT.close()
    else:
        main()
