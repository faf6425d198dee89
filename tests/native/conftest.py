"""Fixtures of tests that need real services."""

from __future__ import annotations

from support.install import installed_home
from support.langfuse import langfuse
from support.postgres import database, postgres
from support.prisma import migrated, orm, prisma_runtime, template
from support.stack import stack

__all__ = [
    "database",
    "installed_home",
    "langfuse",
    "migrated",
    "orm",
    "postgres",
    "prisma_runtime",
    "stack",
    "template",
]
