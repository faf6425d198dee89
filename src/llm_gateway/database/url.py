"""Database URLs as LiteLLM and Prisma write them, for libpq (psycopg, pg_dump)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from llm_gateway.errors import InputError

_LIBPQ = frozenset(
    {"application_name", "channel_binding", "client_encoding", "connect_timeout", "gssencmode", "hostaddr"}
    | {
        "keepalives",
        "keepalives_count",
        "keepalives_idle",
        "krbsrvname",
        "options",
        "require_auth",
        "service",
    }
    | {"sslcert", "sslkey", "sslmode", "sslpassword", "sslrootcert", "target_session_attrs"}
)


@dataclass(frozen=True, slots=True)
class DatabaseUrl:
    """A parsed URL. `repr` and `str` never show the password.

    Attributes:
        parameters: the query part, as given.
        schema: Prisma's `schema` parameter.
    """

    user: str
    password: str
    host: str
    port: int
    name: str
    parameters: tuple[tuple[str, str], ...]

    def __repr__(self) -> str:
        return f"postgresql://{self.user}@{self.place}"

    __str__ = __repr__

    @property
    def place(self) -> str:
        """host:port/name, for messages."""
        return f"{self.host}:{self.port}/{self.name}"

    @property
    def schema(self) -> str:
        return dict(self.parameters).get("schema") or "public"

    def libpq(self, *, with_password: bool = True) -> str:
        """The same as a connection URL for libpq: without Prisma's own parameters, TLS translated."""
        secret = f":{quote(self.password, safe='')}" if with_password and self.password else ""
        user = f"{quote(self.user, safe='')}{secret}@" if self.user else ""
        host = "" if self.host.startswith("/") else f"[{self.host}]" if ":" in self.host else self.host
        parameters = self._libpq_parameters()
        if not host:
            parameters["host"] = self.host
        query = f"?{urlencode(parameters, quote_via=quote)}" if parameters else ""
        return f"postgresql://{user}{host}:{self.port}/{quote(self.name, safe='')}{query}"

    def _libpq_parameters(self) -> dict[str, str]:
        given = dict(self.parameters)
        kept = {key: value for key, value in given.items() if key in _LIBPQ}
        if "sslcert" in kept and "sslkey" not in kept:
            # Prisma's `sslcert` is the CA, libpq's is the client's certificate.
            kept.setdefault("sslrootcert", kept.pop("sslcert"))
        if given.get("sslaccept") == "strict" and kept.get("sslmode") != "disable":
            kept["sslmode"] = "verify-full"
        verifies = kept.get("sslmode", "").startswith("verify-")
        if verifies and "sslrootcert" not in kept and not (Path.home() / ".postgresql" / "root.crt").exists():
            kept["sslrootcert"] = "system"
        if kept.get("sslrootcert") == "system":
            # libpq accepts the system's certificates with this mode only.
            kept["sslmode"] = "verify-full"
        return kept


def parse(url: str) -> DatabaseUrl:
    """Parse a postgresql:// URL with Prisma's or libpq's parameters.

    Raises:
        InputError: E407 it is not such a URL (the message does not repeat it).
    """
    try:
        parts = urlsplit(url)
        parameters = tuple(parse_qsl(parts.query, keep_blank_values=True))
        given = dict(parameters)
        port = int(given.get("port") or parts.port or 5432)
        if parts.scheme not in {"postgres", "postgresql"}:
            raise ValueError(f"the scheme is {parts.scheme or 'missing'}")  # noqa: TRY301 - one place says E407
    except ValueError as error:
        raise InputError(
            "E407",
            "the database URL cannot be read",
            cause=str(error) if "@" not in str(error) else "special characters in it are not percent-encoded",
            next="set DATABASE_URL=postgresql://USER:PASSWORD@HOST:5432/NAME (special characters as %XX)",
        ) from None
    return DatabaseUrl(
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        host=given.get("host") or unquote(parts.hostname or "localhost"),
        port=port,
        name=unquote(parts.path.removeprefix("/")),
        parameters=parameters,
    )
