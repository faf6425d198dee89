"""`python -m llm_gateway`: the command, for an interpreter whose `bin` is not on PATH."""

from __future__ import annotations

from llm_gateway.cli import main

main()
