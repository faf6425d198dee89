"""Put the WebAssembly query engine together: this package's JavaScript, npm packages, Prisma's two files."""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
from pathlib import Path

from llm_gateway.errors import GatewayError

SOURCES = Path(__file__).with_name("engine")
_GLUE = "query_engine_bg.postgresql.js"
_PACKED = "query_engine_bg.postgresql.wasm-base64.js"
# @prisma/client 6.19.3, runtime/. A layout that Prisma does not document, so nothing else is accepted.
_HASHES = {
    _GLUE: "2b50b4328595b0fb99a73cfed34cf11fa8e56511dcc4fb808af4516952448514",
    _PACKED: "467689906831da76fe92da1a87ff53279109750bd530575a1e0d79b0361515ad",
}
_BASE64 = re.compile(rb'"([A-Za-z0-9+/=]{1000,})"')


def fingerprint() -> str:
    """Changes when anything that ends up in the engine's directory changes."""
    digest = hashlib.sha256()
    for path in sorted(SOURCES.rglob("*")):
        if path.is_file():
            digest.update(f"{path.relative_to(SOURCES).as_posix()}\0".encode())
            digest.update(path.read_bytes())
            digest.update(b"\0")
    return digest.hexdigest()


def assemble(build: Path) -> None:
    """Turn a finished `npm ci` in `build` into the engine's directory; keeps 5 of 78 MB.

    Raises:
        GatewayError: E414 Prisma's files are not the ones that were tested.
    """
    client = build / "node_modules" / "@prisma" / "client"
    runtime = build / "runtime"
    runtime.mkdir()
    contents = {name: _checked(client / "runtime" / name, expected) for name, expected in _HASHES.items()}
    packed = _BASE64.search(contents[_PACKED])
    assert packed is not None  # noqa: S101 - the hash of this very file was checked
    (runtime / _GLUE).write_bytes(contents[_GLUE])
    (runtime / "query_engine_bg.postgresql.wasm").write_bytes(base64.b64decode(packed[1]))
    shutil.copyfile(client / "LICENSE", runtime / "LICENSE")
    shutil.rmtree(client)
    shutil.copyfile(SOURCES / "main.js", build / "main.js")
    shutil.copytree(SOURCES / "lib", build / "lib")


def _checked(path: Path, expected: str) -> bytes:
    content = path.read_bytes() if path.exists() else b""
    if hashlib.sha256(content).hexdigest() != expected:
        raise GatewayError(
            "E414",
            f"{path.name} is not the file that was tested",
            cause="the package registry delivered another @prisma/client than 6.19.3, or a damaged one",
            next="npm cache clean --force, check npm's registry setting, then run the command again",
        )
    return content
