"""Fixtures of tests that need real services."""

from __future__ import annotations

from support.install import installed_home
from support.postgres import database, postgres

__all__ = ["database", "installed_home", "postgres"]
