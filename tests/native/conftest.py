"""Fixtures of tests that need real services."""

from __future__ import annotations

from support.postgres import database, postgres
from support.prisma import migrated, orm, prisma_runtime, template

__all__ = ["database", "migrated", "orm", "postgres", "prisma_runtime", "template"]
