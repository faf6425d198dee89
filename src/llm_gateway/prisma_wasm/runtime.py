"""What a process needs to know to use LiteLLM's database client: the answer of `install.prepare_client`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pathlib import Path

Mode = Literal["native", "wasm"]


@dataclass(frozen=True, slots=True)
class PrismaRuntime:
    """A generated client and the engine that serves it.

    Attributes:
        mode: `native` is Prisma's own binary, `wasm` the engine of this package.
        engine: what prisma-client-py starts.
        cli: the stand-in for the Prisma CLI that LiteLLM starts.
        node: the Node.js that runs the engine; None in native mode when none was needed.
    """

    mode: Mode
    engine: Path
    cli: Path
    node: Path | None

    def environment(self) -> dict[str, str]:
        """Variables that prisma-client-py 0.11.0 and LiteLLM 1.106.2 read."""
        return {
            "PRISMA_QUERY_ENGINE_BINARY": str(self.engine),
            "PRISMA_OFFLINE_MODE": "true",
            "PRISMA_CLI_PATH": str(self.cli),
            "CHECKPOINT_DISABLE": "1",
            "PRISMA_HIDE_UPDATE_MESSAGE": "1",
        }
