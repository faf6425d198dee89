"""Drawing secrets, and knowing the ones that everybody knows.

Generated values use only characters that every reader of `.env` takes bare (see `dotenv`).
"""

from __future__ import annotations

import hashlib
import secrets

MASTER_KEY = "sk-password"
VIRTUAL_KEY = "sk-TE5BPNfSh4IOCNpW3I5EDQ"
DATABASE_URL = "postgresql://postgres:postgres@localhost:5432/litellm"
LANGFUSE_PUBLIC_KEY = "pk-lf-fd5d8fba-5134-4037-884d-d6780894a65a"
LANGFUSE_SECRET_KEY = "sk-lf-10122a92-da11-4423-b3f7-ad10e5f268fc"  # noqa: S105 - published in seed 002
LANGFUSE_EMAIL = "admin@dep.com"
LANGFUSE_PASSWORD = "password"  # noqa: S105 - published in seed 004
PUBLICLY_KNOWN = frozenset(
    {MASTER_KEY, VIRTUAL_KEY, LANGFUSE_SECRET_KEY, LANGFUSE_PASSWORD, "sk-1234", "sk-12345", "sk-litellm"}
)


def key() -> str:
    """A LiteLLM key: `sk-` and 256 random bits in hex."""
    return "sk-" + secrets.token_hex(32)


def virtual_key() -> str:
    """A virtual key of the length LiteLLM gives its own (`sk-` and 22 characters)."""
    return "sk-" + secrets.token_urlsafe(16)


def password() -> str:
    """A password that may stand in a URL without escaping."""
    return secrets.token_hex(16)


def fingerprint(value: str) -> str:
    """What `state/rendered.json` keeps instead of a value: enough to see a change, useless to anybody else."""
    return hashlib.sha256(b"llm-gateway rendered\0" + value.encode()).hexdigest()


def redact(text: str, values: dict[str, str]) -> str:
    """`text` without any of the secret `values` (long enough to be secrets)."""
    for value in values.values():
        if len(value) >= 8:
            text = text.replace(value, "***")
    return text
