"""The installation in other people's networks: mirrors, proxies, private authorities, firewalls, full disks."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.capabilities import ORIGINAL_ENVIRON
from support.index import Index, serve
from support.install import base_python, environment, make_small_checkout, run, session_environment
from support.proxy import private_authority, proxying

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.install import Checkout

pytestmark = [pytest.mark.needs("index", "bash")]
HOST = "index.corp.example"
_NETWORK = ("PIP_", "UV_", "SSL_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory, caches: Path) -> Path:
    """The real wheels of the small environment and of uv."""
    checkout = make_small_checkout(tmp_path_factory.mktemp("wheels") / "clone")
    folder = tmp_path_factory.mktemp("wheelhouse")
    env = {**ORIGINAL_ENVIRON, **session_environment(caches)}
    for name in ("gateway", "uv"):
        command = [base_python(), "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes", "--dest", folder]
        done = run([*command, "--requirement", checkout.requirements / f"{name}.txt"], env=env, cwd=folder)
        assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return make_small_checkout(tmp_path / "clone")


@pytest.fixture
def index(wheels: Path) -> Iterator[Index]:
    with serve(Index(wheels)) as running:
        yield running


def network(tmp_path: Path, **changes: str) -> dict[str, str]:
    """A machine that knows nothing but `changes`, with empty caches."""
    env = {name: value for name, value in environment().items() if not name.startswith(_NETWORK)}
    caches = {"UV_CACHE_DIR": str(tmp_path / "uv-cache"), "PIP_CACHE_DIR": str(tmp_path / "pip-cache")}
    return {**env, **caches, "PIP_CONFIG_FILE": os.devnull, **changes}


def everything_written(checkout: Checkout, done: subprocess.CompletedProcess[str]) -> str:
    log = checkout.home / "logs/install.log"
    return done.stdout + done.stderr + (log.read_text() if log.exists() else "")


def test_a_mirror_with_credentials_gets_them_and_nobody_else(checkout: Checkout, index: Index, tmp_path: Path) -> None:
    index.credentials = "bob:s3@cret-word"
    url = index.url.replace("://", "://bob:s3%40cret-word@")
    done = checkout.run(env=network(tmp_path, PIP_INDEX_URL=url))
    assert done.returncode == 0, done.stderr
    assert {"GET /simple/uv/", "GET /simple/hatchling/"} <= set(index.requests)
    written = everything_written(checkout, done)
    assert "s3@cret-word" not in written
    assert "s3%40cret-word" not in written


def test_wrong_credentials_are_named_without_showing_them(checkout: Checkout, index: Index, tmp_path: Path) -> None:
    index.credentials = "bob:right"
    url = index.url.replace("://", "://bob:wrong-word@")
    done = checkout.run(env=network(tmp_path, PIP_INDEX_URL=url))
    assert done.returncode == 3
    assert "E215" in done.stderr
    assert "wrong-word" not in everything_written(checkout, done)


def test_pips_file_is_enough(checkout: Checkout, index: Index, tmp_path: Path) -> None:
    """A machine configured as many are: extra indexes that hold nothing, a folder that is not there."""
    file = tmp_path / "pip.conf"
    file.write_text(
        f"[global]\nindex-url = {index.url}\nextra-index-url = file:///no/such/simple\n    file://{tmp_path}\n"
        "find-links = /no/such/wheels\ntimeout = 20\n[install]\nuser = true\n"
    )
    done = checkout.run(env=network(tmp_path, PIP_CONFIG_FILE=str(file)))
    assert done.returncode == 0, done.stderr


def test_what_the_main_index_lacks_comes_from_an_extra_one(
    checkout: Checkout, index: Index, wheels: Path, tmp_path: Path
) -> None:
    half = tmp_path / "half"
    half.mkdir()
    for wheel in wheels.glob("[!h]*.whl"):
        (half / wheel.name).symlink_to(wheel)
    with serve(Index(half)) as main:
        done = checkout.run(env=network(tmp_path, PIP_INDEX_URL=main.url, PIP_EXTRA_INDEX_URL=index.url))
    assert done.returncode == 0, done.stderr


def test_no_index_only_files(checkout: Checkout, wheels: Path, tmp_path: Path) -> None:
    done = checkout.run(env=network(tmp_path, PIP_NO_INDEX="1", PIP_FIND_LINKS=str(wheels)))
    assert done.returncode == 0, done.stderr


def test_a_tampered_package_is_refused(checkout: Checkout, index: Index, tmp_path: Path) -> None:
    index.tampered = "hatchling"
    done = checkout.run(env=network(tmp_path, PIP_INDEX_URL=index.url))
    assert done.returncode == 3
    assert "E216" in done.stderr
    assert not (checkout.home / "venvs/gateway/.llm-gateway.json").exists()


def test_a_package_that_the_mirror_lacks(checkout: Checkout, wheels: Path, tmp_path: Path) -> None:
    folder = tmp_path / "only uv"
    folder.mkdir()
    for wheel in wheels.glob("uv-*.whl"):
        (folder / wheel.name).symlink_to(wheel)
    with serve(Index(folder)) as index:
        done = checkout.run(env=network(tmp_path, PIP_INDEX_URL=index.url))
    assert done.returncode == 3
    assert "E217" in done.stderr


class TestCorporateNetwork:
    """An index over TLS with a private authority, reachable through an authenticating proxy only."""

    def test_through_the_proxy(self, checkout: Checkout, wheels: Path, tmp_path: Path) -> None:
        authority, context = private_authority(tmp_path, HOST)
        with serve(Index(wheels), context=context) as index, proxying({HOST: index.port}, password="pr0xy-w") as proxy:
            url = f"https://{HOST}/simple"
            env = network(tmp_path, PIP_INDEX_URL=url, PIP_CERT=str(authority), PIP_PROXY=proxy.url)
            done = checkout.run(env=env)
            assert done.returncode == 0, done.stderr
            assert set(proxy.connected) == {f"{HOST}:443"}
            assert "pr0xy-w" not in everything_written(checkout, done)

    def test_a_proxy_that_refuses(self, checkout: Checkout, wheels: Path, tmp_path: Path) -> None:
        authority, context = private_authority(tmp_path, HOST)
        with serve(Index(wheels), context=context) as index, proxying({HOST: index.port}) as proxy:
            wrong = f"http://corp:wrong-word@127.0.0.1:{proxy.port}"
            env = network(tmp_path, PIP_INDEX_URL=f"https://{HOST}/simple", PIP_CERT=str(authority), HTTPS_PROXY=wrong)
            done = checkout.run(env=env)
            assert done.returncode == 3
            assert "E214" in done.stderr
            assert "wrong-word" not in everything_written(checkout, done)
            assert proxy.refused

    def test_an_authority_that_nobody_named(self, checkout: Checkout, wheels: Path, tmp_path: Path) -> None:
        _, context = private_authority(tmp_path, "127.0.0.1")
        with serve(Index(wheels), context=context) as index:
            done = checkout.run(env=network(tmp_path, PIP_INDEX_URL=index.url))
        assert done.returncode == 3
        assert "E213" in done.stderr
        assert "PIP_CERT" in done.stderr

    def test_a_trusted_host_needs_no_authority(self, checkout: Checkout, wheels: Path, tmp_path: Path) -> None:
        _, context = private_authority(tmp_path, "127.0.0.1")
        with serve(Index(wheels), context=context) as index:
            trusted = f"127.0.0.1:{index.port}"
            done = checkout.run(env=network(tmp_path, PIP_INDEX_URL=index.url, PIP_TRUSTED_HOST=trusted))
        assert done.returncode == 0, done.stderr


class TestBlocked:
    def refusal(self, checkout: Checkout, tmp_path: Path, url: str, within: float = 30) -> str:
        started = time.monotonic()
        # pip's own patience is long here, as on many a company's machine: it must not count.
        done = checkout.run(env=network(tmp_path, PIP_INDEX_URL=url, PIP_DEFAULT_TIMEOUT="180"), timeout=within + 30)
        assert done.returncode in {3, 4}, done.stderr
        assert "Traceback" not in done.stderr
        assert time.monotonic() - started < within
        return done.stderr

    def test_an_index_that_accepts_and_never_answers(self, checkout: Checkout, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as hole:
            said = self.refusal(checkout, tmp_path, f"http://127.0.0.1:{hole.getsockname()[1]}/simple")
        assert "E212" in said

    def test_a_closed_port(self, checkout: Checkout, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
        assert "E211" in self.refusal(checkout, tmp_path, f"http://127.0.0.1:{port}/simple")

    def test_a_name_that_does_not_exist(self, checkout: Checkout, tmp_path: Path) -> None:
        assert "E210" in self.refusal(checkout, tmp_path, "https://index.invalid/simple")

    def test_an_index_that_stalls_in_the_middle_ends_with_the_limit(
        self, checkout: Checkout, wheels: Path, tmp_path: Path
    ) -> None:
        """The first answers come; then nothing more does."""
        with serve(Index(wheels)) as index:
            index.stall = "hatchling"
            started = time.monotonic()
            env = network(tmp_path, PIP_INDEX_URL=index.url, PIP_DEFAULT_TIMEOUT="180", LLM_GATEWAY_INSTALL_TIMEOUT="8")
            done = checkout.run(env=env, timeout=60)
            index.released.set()
        assert done.returncode == 4
        assert "E220" in done.stderr
        assert time.monotonic() - started < 30


class TestDisk:
    @pytest.fixture
    def small_disk(self, tmp_path: Path) -> Iterator[Path]:
        folder = tmp_path / "small disk"
        folder.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=60m", "tmpfs", folder], check=True)
        yield folder
        subprocess.run(["umount", folder], check=True)

    @pytest.mark.needs("mount")
    def test_too_small_a_disk_is_seen_before_anything_is_downloaded(self, checkout: Checkout, small_disk: Path) -> None:
        done = checkout.run(env=environment(LLM_GATEWAY_HOME=str(small_disk / "home")))
        assert done.returncode == 3
        assert "E205" in done.stderr
        assert not (small_disk / "home").exists()

    @pytest.mark.needs("mount")
    def test_a_disk_that_fills_up_is_named_and_the_next_start_mends_it(
        self, checkout: Checkout, small_disk: Path
    ) -> None:
        filler = small_disk / "filler"
        with filler.open("wb") as file:
            file.write(b"\0" * (40 << 20))
        env = environment(LLM_GATEWAY_HOME=str(small_disk / "home"), LLM_GATEWAY_SKIP_PREFLIGHT="true")
        done = checkout.run(env=env)
        assert done.returncode == 3
        assert "E218" in done.stderr
        filler.unlink()
        done = checkout.run(env=env)
        assert done.returncode == 0, done.stderr

    @pytest.mark.needs("unprivileged-user")
    def test_a_home_that_belongs_to_somebody_else(self, tmp_path: Path) -> None:
        # Somewhere the other user can read: pytest's own folders are closed to others.
        folder = Path("/var/tmp") / f"llm-gateway-test-{os.getpid()}"
        try:
            checkout = make_small_checkout(folder / "clone")
            python = shutil.which("python3", path="/usr/bin") or base_python()
            env = environment(LLM_GATEWAY_HOME=str(folder / "home"), LLM_GATEWAY_PYTHON=python, HOME="/nonexistent")
            done = subprocess.run(
                [checkout.start], env=env, cwd="/", user=65534, group=65534, extra_groups=[],
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert done.returncode == 3
            assert "E206" in done.stderr
        finally:
            shutil.rmtree(folder)
