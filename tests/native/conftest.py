"""Fixtures of tests that need real services."""

from __future__ import annotations

from support.postgres import database, postgres

__all__ = ["database", "postgres"]
