"""The command `llm-gateway`: one module per verb, imported only when its verb is called."""

from __future__ import annotations

from llm_gateway.cli.app import main

__all__ = ["main"]
