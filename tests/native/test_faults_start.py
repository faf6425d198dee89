"""Starts that cannot succeed: the service is named, its last words are shown, and nothing is left half-started."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from support.home import DEMO, Home, home, shared_venvs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def _config(tmp_path: Path, **sections: Any) -> Path:
    value = yaml.safe_load(DEMO.read_text())
    path = tmp_path / "mine.yaml"
    (tmp_path / "own_callback.py").write_text("import not_installed_anywhere\nhandler = None\n")
    path.write_text(yaml.safe_dump({**value, **sections}))
    return path


@pytest.mark.parametrize(
    ("sections", "says"),
    [
        ({"litellm_settings": {"callbacks": ["own_callback.handler"]}}, "own_callback"),
        pytest.param(
            {"litellm_settings": {"cache": True, "cache_params": {"type": "no-such-cache"}}},
            "'Cache' object",
            marks=pytest.mark.long,
        ),
    ],
    ids=["callback", "cache"],
)
def test_a_config_that_litellm_refuses_ends_the_start_with_its_reason(
    tmp_path: Path, sections: dict[str, Any], says: str
) -> None:
    with home(config=_config(tmp_path, **sections)) as made:
        began = time.monotonic()
        error = made.error("start", "--detach", "--no-enable-redis", "--force", code=1)
        assert time.monotonic() - began < 90  # far below the time limit of 300 s
        assert error["code"] == "E313"
        assert says in error["cause"]
        assert "\x1b" not in error["cause"]
        assert "logs gateway" in error["next"]
        secrets = [value for name, value in made.values().items() if name.endswith(("KEY", "PASSWORD")) and value]
        assert not any(secret in json.dumps(error) for secret in secrets)
        made.nothing_runs(seconds=1)
        assert not (made.state / "running.json").exists()


@pytest.mark.long
def test_the_home_of_a_failed_start_starts_with_another_config(tmp_path: Path) -> None:
    bad = _config(tmp_path, litellm_settings={"callbacks": ["own_callback.handler"]})
    with home("LLM_GATEWAY_ENABLE_REDIS=false") as made:
        assert made.error("start", "--detach", "--config", str(bad), code=1)["code"] == "E313"
        data = made.start("--config", str(DEMO))
        assert made.answers(data["key"]) == ""


def test_a_server_that_cannot_start_ends_the_start_at_once() -> None:
    with home("LLM_GATEWAY_ENABLE_REDIS=false") as made:
        plan = made.ask("init")["data"]
        major = plan["placements"]["postgres"]["reason"].split()[1]
        data = made.state / "postgres"
        data.mkdir(mode=0o700)
        (data / "PG_VERSION").write_text(f"{major}\n")
        _give(data)
        began = time.monotonic()
        error = made.error("start", "--detach", code=1)
        assert time.monotonic() - began < 40
        assert (error["code"], "PostgreSQL" in error["message"]) == ("E313", True)
        assert "logs postgres" in error["next"]
        assert "could not" in error["cause"] or "does not exist" in error["cause"] or "not a" in error["cause"]
        made.nothing_runs(seconds=1)


def _give(path: Path) -> None:
    import shutil

    from support.postgres import unprivileged_user

    if user := unprivileged_user():
        for entry in (path, *path.iterdir()):
            shutil.chown(entry, user)


def test_a_deadline_rolls_back_and_has_its_own_exit_code() -> None:
    with home("LLM_GATEWAY_ENABLE_REDIS=false") as made:
        error = made.error("start", "--detach", "--timeout", "2", code=4)
        assert error["code"] in {"E312", "E313", "E321", "E426"}
        made.nothing_runs(seconds=1)
        assert made.ask("status", code=1)["data"]["running"] is False


@pytest.fixture
def small(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Home]:
    """A home on a file system of its own, as large as the test says."""
    with home("LLM_GATEWAY_ENABLE_REDIS=false", share=False) as made:
        size = f"size={request.param}"
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"{size},mode=755", "none", str(made.root)], check=True)
        try:
            (made.root / "venvs").symlink_to(shared_venvs())
            yield made
            made.ask("stop")
        finally:
            subprocess.run(["umount", "--lazy", str(made.root)], check=True)


@pytest.mark.needs("mount")
@pytest.mark.parametrize("small", ["25m"], indirect=True)
@pytest.mark.long
def test_a_disk_that_fills_while_the_database_is_made(small: Home) -> None:
    error = small.error("start", "--detach", code=1)
    assert error["code"] == "E321"
    assert "No space left on device" in error["cause"]
    small.nothing_runs(seconds=1)
    assert not (small.state / "postgres").exists()
    assert not list(small.state.glob(".postgres-new-*"))
    assert "D102" in {e["code"] for e in small.ask("doctor", code=1)["errors"]}
    subprocess.run(["mount", "-o", "remount,size=900m", str(small.root)], check=True)
    data = small.start()
    assert small.answers(data["key"]) == ""


@pytest.mark.needs("mount")
@pytest.mark.parametrize("small", ["256k"], indirect=True)
def test_a_disk_that_is_full(small: Home) -> None:
    small.ask("init")
    env, options = small.env_file.read_bytes(), (small.state / "options.json").read_bytes()
    _fill(small.root / "ballast")
    for arguments in (["start", "--detach"], ["init"]):
        error = small.error(*arguments, "--workers", "2", code=3)
        assert error["code"] in {"E101", "E103", "E115"}
        assert "No space left" in error["message"]
    assert small.env_file.read_bytes() == env
    assert (small.state / "options.json").read_bytes() == options
    assert small.ask("status", code=1)["data"]["running"] is False
    assert "D102" in {e["code"] for e in small.ask("doctor", code=1)["errors"]}


def _fill(path: Path) -> None:
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 1024)
