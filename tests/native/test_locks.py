"""The lock files fit pyproject.toml, each other, and every system of docs/support.md."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.install import ROOT, environment, make_checkout, run

if TYPE_CHECKING:
    from support.install import InstalledHome

LOCKS = ROOT / "src/llm_gateway/requirements"
NAMES = sorted(path.stem for path in LOCKS.glob("*.txt"))
LINUX = ("x86_64-manylinux_2_28", "aarch64-manylinux_2_28")
MACOS = ("aarch64-apple-darwin",)
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
# The ends of the range every time, what lies between only in the long run.
ROWS = [
    pytest.param(platform, python, marks=[] if python in {"3.11", "3.14"} and platform in LINUX else pytest.mark.long)
    for platform in (*LINUX, *MACOS)
    for python in PYTHONS
]


def pins(lock: str) -> dict[str, set[str]]:
    """Package -> locked versions (markers may allow several)."""
    found: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", lock, re.MULTILINE):
        found.setdefault(name, set()).add(version)
    return found


def read(name: str) -> str:
    return (LOCKS / f"{name}.txt").read_text()


@pytest.fixture(scope="module")
def uv(installed_home: InstalledHome) -> Path:
    return installed_home.root / "venvs/uv/bin/uv"


@pytest.mark.parametrize("name", NAMES)
def test_every_entry_has_hashes_and_no_host_is_named(name: str) -> None:
    lock = read(name)
    for entry in re.split(r"\n(?=\S)", lock):
        if "==" in entry and not entry.startswith("#"):
            assert "--hash=sha256:" in entry, entry.splitlines()[0]
    assert "://" not in lock
    assert "index-url" not in lock


def test_dev_is_gateway_and_more() -> None:
    gateway, dev = pins(read("gateway")), pins(read("dev"))
    assert {name: dev.get(name) for name in gateway} == gateway


def test_what_builds_the_kit_is_locked() -> None:
    required = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    assert required == [f"hatchling=={version}" for version in pins(read("gateway"))["hatchling"]]


@pytest.mark.needs("index")
def test_the_locks_follow_from_their_sources(uv: Path, tmp_path: Path) -> None:
    """Made again with one command, nothing changes. Files added to a release later change hashes, not pins."""
    checkout = make_checkout(tmp_path / "clone")
    env = environment(PATH=f"{uv.parent}:{environment()['PATH']}")
    done = run([checkout.path / "scripts/lock.sh"], env=env, cwd=tmp_path, timeout=280)
    assert done.returncode == 0, done.stderr
    for name in NAMES:
        assert pins((checkout.requirements / f"{name}.txt").read_text()) == pins(read(name)), f"{name}: scripts/lock.sh"


@pytest.mark.needs("index")
@pytest.mark.parametrize(("platform", "python"), ROWS)
def test_wheels_for_every_supported_row(uv: Path, platform: str, python: str, tmp_path: Path) -> None:
    for name in NAMES:
        if name == "redis" and (not platform.startswith("x86_64-manylinux") or python == "3.14"):
            continue  # no wheel: docs/support.md, and the gateway caches in memory
        command = [uv, "pip", "install", "--dry-run", "--target", tmp_path, "--no-deps", "--require-hashes"]
        options = ["--only-binary", ":all:", "--python-platform", platform, "--python-version", python]
        done = subprocess.run(
            [*command, *options, "--requirement", LOCKS / f"{name}.txt"],
            env=environment(), capture_output=True, text=True, check=False, timeout=200,
        )  # fmt: skip
        assert done.returncode == 0, f"{name}: {done.stderr}"


@pytest.mark.long
@pytest.mark.needs("index")
@pytest.mark.parametrize("python", ["python3.12", "python3.13", "python3.14"])
def test_other_pythons_of_this_machine(python: str, tmp_path: Path, installed_home: InstalledHome) -> None:
    """A complete installation on each Python that is here, up to the gateway's imports."""
    candidates = [
        shutil.which(python),
        *map(str, Path(os.environ.get("PYENV_ROOT") or "/usr/local", "versions").glob(f"{python[6:]}.*/bin/{python}")),
    ]
    found = next((path for path in candidates if path and _runs(path)), None)
    if not found:
        pytest.skip(f"there is no {python} here")
    env = environment(LLM_GATEWAY_PYTHON=found, LLM_GATEWAY_HOME=str(tmp_path / "home"))
    done = installed_home.checkout.run("--no-such-flag", env=env)
    assert "packages" in done.stderr
    program = tmp_path / "home/venvs/gateway/bin/python"
    check = "import litellm.proxy.proxy_server, llm_gateway.cli, sys; print(sys.version)"
    imported = subprocess.run(
        [program, "-c", check], env=environment(LITELLM_LOCAL_MODEL_COST_MAP="True"), capture_output=True, text=True,
        check=False, timeout=200,
    )  # fmt: skip
    assert imported.returncode == 0, imported.stderr
    assert imported.stdout.startswith(python[6:])


def _runs(path: str) -> bool:
    return subprocess.run([path, "-c", ""], capture_output=True, check=False).returncode == 0
