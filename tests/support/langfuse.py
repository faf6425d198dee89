"""A Langfuse double for one test: its own keys, and a little time between taking something and showing it."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

from doubles.langfuse import Langfuse, Project
from doubles.server import running

if TYPE_CHECKING:
    from collections.abc import Iterator

# A real server is not at once ready to show what it took.
DELAY = 0.2


@pytest.fixture
def langfuse() -> Iterator[Langfuse]:
    """A running double. The SDK and LiteLLM keep one client per public key, so each has its own."""
    with running(Langfuse(projects=(Project(public_key=f"pk-lf-{uuid.uuid4()}"),), delay=DELAY)) as double:
        yield double
