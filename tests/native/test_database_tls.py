"""TLS to a real PostgreSQL: the migration applier (libpq) and the query engine (node) agree on every mode."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from llm_gateway.database.server import connect
from llm_gateway.errors import GatewayError
from llm_gateway.prisma_wasm.migrate import apply
from llm_gateway.probes import Deadline
from support.postgres import Cluster, cluster
from support.prisma import engine
from support.tls import authority

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from llm_gateway.prisma_wasm.runtime import PrismaRuntime

pytestmark = pytest.mark.needs("node", "postgres")

_ENCRYPTED = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"


@pytest.fixture(scope="module")
def tls_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Cluster, Path, Path]]:
    """A server that wants TLS from everybody; the CA it is signed by and one that it is not."""
    place = tmp_path_factory.mktemp("ca")
    ours, other = authority("ours"), authority("other")
    certificate, key = ours.server("127.0.0.1")
    (place / "ours.pem").write_bytes(ours.pem)
    (place / "other.pem").write_bytes(other.pem)
    settings = {
        "ssl": "on",
        "ssl_cert_file": "{root}/server.crt",
        "ssl_key_file": "{root}/server.key",
        "hba_file": "{root}/hba.conf",
    }
    files = {
        "server.crt": certificate,
        "server.key": key,
        "hba.conf": b"hostssl all all 127.0.0.1/32 scram-sha-256\n",
    }
    with cluster(settings=settings, files=files) as server:
        yield server, place / "ours.pem", place / "other.pem"


@pytest.mark.parametrize(
    ("mode", "host", "ca", "accepted"),
    [
        ("verify-full", "127.0.0.1", "ours", True),
        ("verify-full", "127.0.0.1", "other", False),
        ("verify-full", "localhost", "ours", False),
        ("verify-ca", "localhost", "ours", True),
        ("verify-ca", "localhost", "other", False),
        ("verify-full", "127.0.0.1", None, False),
        ("require", "localhost", None, True),
        ("require", "localhost", "other", False),
        ("prefer", "127.0.0.1", None, True),
        (None, "127.0.0.1", None, True),
        ("disable", "127.0.0.1", None, False),
    ],
)
def test_modes(  # noqa: PLR0917 - one per fixture and parameter
    tls_server: tuple[Cluster, Path, Path],
    prisma_runtime: PrismaRuntime,
    tmp_path: Path,
    mode: str | None,
    host: str,
    ca: str | None,
    accepted: bool,  # noqa: FBT001
) -> None:
    server, ours, other = tls_server
    parameters = {}
    if mode:
        parameters["sslmode"] = mode
    if ca:
        parameters["sslrootcert"] = str(ours if ca == "ours" else other)
    url = server.url(host=host, **parameters)
    if accepted:
        with connect(url) as connection:
            assert connection.execute(_ENCRYPTED).fetchone() == (True,)
    else:
        with pytest.raises(GatewayError) as refused:
            connect(url)
        assert refused.value.problem.code == "E404"
    with engine(prisma_runtime, url, tmp_path) as process:
        if accepted:
            process.until_ready()
        else:
            assert process.process.wait(20) == 1


def test_prismas_own_spelling_of_the_ca(
    tls_server: tuple[Cluster, Path, Path], prisma_runtime: PrismaRuntime, tmp_path: Path
) -> None:
    server, ours, other = tls_server
    good = server.url(sslmode="require", sslaccept="strict", sslcert=str(ours))
    connect(good).close()
    with engine(prisma_runtime, good, tmp_path) as process:
        process.until_ready()
    with pytest.raises(GatewayError):
        connect(server.url(sslmode="require", sslaccept="strict", sslcert=str(other)))


def test_migrations_over_verified_tls(tls_server: tuple[Cluster, Path, Path]) -> None:
    server, ours, _ = tls_server
    name = server.url("postgres", sslmode="verify-full", sslrootcert=str(ours))
    assert apply(f"{name}&schema=over_tls", deadline=Deadline(60)).applied
