"""Fixtures of tests that need real services."""

from __future__ import annotations

from support.postgres import database, postgres
from support.stack import stack

__all__ = ["database", "postgres", "stack"]
