"""The start script's installation with real parts: pip, uv, an index. Only the gateway's set is small (see support)."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from llm_gateway.probes import Deadline, wait
from support.install import InstalledHome, base_python, environment, make_small_checkout, run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.install import Checkout

pytestmark = [pytest.mark.needs("index", "bash")]
PYTHONS = ("python3.14", "python3.13", "python3.12", "python3.11", "python3", "python")


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return make_small_checkout(tmp_path / "a clone with spaces")


def said(done: subprocess.CompletedProcess[str]) -> dict[str, object]:
    """How the installed command was called."""
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


@pytest.fixture
def no_python(tmp_path: Path) -> Iterator[dict[str, str]]:
    """PATH entries that record every Python that is started, and refuse it."""
    folder, log = tmp_path / "shims", tmp_path / "started"
    folder.mkdir()
    for name in PYTHONS:
        (folder / name).write_text(f'#!/bin/sh\necho {name} >>"{log}"\nexit 1\n')
        (folder / name).chmod(0o755)
    yield {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}", "LLM_GATEWAY_PYTHON": ""}
    assert not log.exists(), f"started: {log.read_text().split()}"


class TestFirstStart:
    def test_the_real_environment_is_complete_and_compiled(self, installed_home: InstalledHome) -> None:
        packages = next(installed_home.venv.glob("lib/python*/site-packages"))
        for module in ("litellm/proxy/proxy_server.py", "llm_gateway/cli/__init__.py"):
            source = packages / module
            assert list((source.parent / "__pycache__").glob(f"{source.stem}.*.pyc")), f"{module} is not compiled"
        check = "import litellm.proxy._types, redisvl, langfuse, prisma, PIL, soundfile, opentelemetry.sdk"
        python = installed_home.venv / "bin/python"
        done = subprocess.run([python, "-c", check], env=environment(), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def test_the_start_script_finds_the_installed_home(self, installed_home: InstalledHome) -> None:
        env = environment(LLM_GATEWAY_HOME=str(installed_home.root))
        done = installed_home.checkout.run("--help", env=env)
        assert "--detach" in done.stdout, done.stderr
        assert "packages" not in done.stderr

    def test_arguments_directory_and_home_arrive(self, checkout: Checkout, tmp_path: Path) -> None:
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        done = checkout.run("--config", "my config.yaml", "", "a'b\"c", env=environment(), cwd=elsewhere)
        assert said(done) == {
            "argv": ["start", "--config", "my config.yaml", "", "a'b\"c"],
            "cwd": str(elsewhere),
            "home": str(checkout.home),
        }
        assert "uv" in done.stderr
        assert (checkout.home / "logs/install.log").stat().st_mode & 0o077 == 0

    def test_help_needs_no_installation(self, checkout: Checkout, no_python: dict[str, str]) -> None:
        done = checkout.run("--help", env=environment(**no_python))
        assert done.returncode == 0
        assert "--config" in done.stdout
        assert not checkout.home.exists()

    def test_byte_code_is_compiled_even_when_it_is_switched_off(self, checkout: Checkout) -> None:
        assert said(checkout.run(env=environment(PYTHONDONTWRITEBYTECODE="1")))
        packages = next((checkout.home / "venvs/gateway").glob("lib/python*/site-packages"))
        for package in ("hatchling", "llm_gateway"):
            assert list((packages / package / "__pycache__").glob("__init__.*.pyc")), package

    def test_two_at_once_do_not_fight(self, checkout: Checkout) -> None:
        with ThreadPoolExecutor(2) as pool:
            both = list(pool.map(lambda number: checkout.run(str(number), env=environment()), range(2)))
        assert [said(done)["argv"] for done in both] == [["start", "0"], ["start", "1"]]
        log = (checkout.home / "logs/install.log").read_text()
        assert log.count(" pip sync ") == 1


class TestLaterStarts:
    def test_nothing_changed_starts_no_python(self, checkout: Checkout, no_python: dict[str, str]) -> None:
        said(checkout.run(env=environment()))
        done = checkout.run("again", env=environment(PATH=no_python["PATH"]))
        assert said(done)["argv"] == ["start", "again"]
        assert done.stderr == ""

    def test_every_way_of_calling_it(self, checkout: Checkout, tmp_path: Path) -> None:
        said(checkout.run(env=environment()))
        folder = tmp_path / "bin dir"
        folder.mkdir()
        (folder / "gateway-start").symlink_to(Path(os.path.relpath(checkout.start, folder)))
        (folder / "again").symlink_to(folder / "gateway-start")
        scripts = checkout.path / "scripts"
        ways = (
            ([str(folder / "again")], {}),
            (["gateway-start"], {"PATH": f"{folder}:{os.environ['PATH']}"}),
            (["start-llm-gateway.sh"], {"PATH": f"{scripts}:{os.environ['PATH']}"}),
            (["/bin/bash", "scripts/start_llm_gateway.sh"], {}),
        )
        for command, change in ways:
            env = environment(**change)
            cwd = checkout.path if "/bin/bash" in command else tmp_path
            done = subprocess.run(command, env=env, cwd=cwd, capture_output=True, text=True, check=False, timeout=60)
            assert said(done)["home"] == str(checkout.home), command
            assert done.stderr == "", command

    def test_a_relative_home_stands_where_the_caller_is(self, checkout: Checkout, tmp_path: Path) -> None:
        env = environment(LLM_GATEWAY_HOME="my home")
        assert said(checkout.run(env=env, cwd=tmp_path))["home"] == str(tmp_path / "my home")

    def test_a_changed_source_is_installed_again(self, checkout: Checkout) -> None:
        said(checkout.run(env=environment()))
        command = checkout.path / "src/llm_gateway/cli/__init__.py"
        command.write_text(command.read_text().replace('"argv"', '"changed"'))
        done = checkout.run("x", env=environment())
        assert said(done)["changed"] == ["start", "x"]
        assert "packages" not in done.stderr

    def test_a_changed_lock_removes_what_is_gone(self, checkout: Checkout) -> None:
        lock = checkout.requirements / "gateway.txt"
        lean = lock.read_text()
        extra = (checkout.requirements / "postgres.txt").read_text()
        start = extra.index("fasteners==")
        lock.write_text(lean + extra[start : extra.index("# via", start)])
        said(checkout.run(env=environment()))
        packages = next((checkout.home / "venvs/gateway").glob("lib/python*/site-packages"))
        assert (packages / "fasteners").is_dir()
        lock.write_text(lean)
        said(checkout.run(env=environment()))
        assert not (packages / "fasteners").exists()

    def test_stop_without_an_installation(self, checkout: Checkout) -> None:
        env = environment()
        for name in ("stop_llm_gateway.sh", "stop-llm-gateway.sh"):
            done = run([checkout.path / "scripts" / name], env=env, cwd=checkout.path)
            assert (done.returncode, done.stdout) == (0, "")
            assert "Nothing is installed" in done.stderr
        said(checkout.run(env=env))
        done = run([checkout.path / "scripts/stop_llm_gateway.sh", "--json"], env=env, cwd=checkout.path)
        assert said(done)["argv"] == ["stop", "--json"]


class TestRepair:
    def test_killed_in_the_middle(self, checkout: Checkout) -> None:
        venv = checkout.home / "venvs/gateway"
        quiet = subprocess.DEVNULL
        process = subprocess.Popen(
            checkout.start, env=environment(), stdout=quiet, stderr=quiet, start_new_session=True
        )
        try:
            found = wait(lambda: "" if (venv / "bin/python").exists() else "nothing yet", Deadline(60))
            assert not found
        finally:
            family = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
            for member in family:
                member.kill()
            process.wait()
            psutil.wait_procs(family, timeout=10)
        assert not (venv / ".llm-gateway.json").exists()
        assert said(checkout.run("after", env=environment()))["argv"] == ["start", "after"]

    def test_an_installer_whose_parent_was_killed_is_waited_for(self, checkout: Checkout) -> None:
        """The orphan holds the lock: a second uv must not write into the same directory."""
        lock = checkout.home / "venvs/.gateway.lock"
        holder = (
            "import fcntl,os,subprocess,sys\n"
            "os.makedirs(os.path.dirname(sys.argv[1]))\n"
            "f=os.open(sys.argv[1],os.O_RDWR|os.O_CREAT); fcntl.flock(f,fcntl.LOCK_EX)\n"
            "p=subprocess.Popen(['cat'],pass_fds=[f],stdin=0); print(p.pid,flush=True); os.kill(os.getpid(),9)\n"
        )
        dead = subprocess.Popen([sys.executable, "-c", holder, lock], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert dead.stdin is not None
        assert dead.stdout is not None
        orphan = psutil.Process(int(dead.stdout.readline()))
        dead.wait()
        waiting = subprocess.Popen([checkout.start], env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert waiting.stderr is not None
        line = b""
        while b"waiting for it" not in line:
            line = waiting.stderr.readline()
            assert line, "it did not wait"
        assert not (checkout.home / "venvs/gateway").exists()
        dead.stdin.close()
        orphan.wait(10)
        dead.stdout.close()
        with waiting:
            assert waiting.wait(120) == 0

    @pytest.mark.parametrize("damage", ["python", "program", "stamp", "everything"])
    def test_what_is_damaged_is_mended(self, checkout: Checkout, damage: str) -> None:
        said(checkout.run(env=environment()))
        venv = checkout.home / "venvs/gateway"
        if damage == "everything":
            shutil.rmtree(venv)
        else:
            {"python": venv / "bin/python", "program": venv / "bin/llm-gateway", "stamp": venv / ".llm-gateway.json"}[
                damage
            ].unlink()
            (venv / ".start-stamp").unlink()
        assert said(checkout.run("x", env=environment()))["argv"] == ["start", "x"]

    def test_ctrl_c_ends_everything(self, checkout: Checkout) -> None:
        process = subprocess.Popen([checkout.start], env=environment(), stderr=subprocess.PIPE, start_new_session=True)
        venvs = checkout.home / "venvs"
        assert not wait(lambda: "" if (venvs / ".uv.lock").exists() else "nothing yet", Deadline(60))
        os.killpg(process.pid, signal.SIGINT)
        _, stderr = process.communicate(timeout=20)
        assert process.returncode == 130
        assert b"Traceback" not in stderr
        assert said(checkout.run(env=environment()))


@pytest.mark.needs("mount")
class TestPythons:
    """A Python as distributions ship it: without pip, without ensurepip."""

    @staticmethod
    def python(folder: Path) -> Path:
        base = Path(base_python()).resolve()
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        library = Path(os.__file__).resolve().parent
        (folder / "bin").mkdir(parents=True)
        (folder / "lib" / version).mkdir(parents=True)
        shutil.copy2(base, folder / "bin" / version)
        for entry in library.iterdir():
            if entry.name not in {"ensurepip", "site-packages", "dist-packages"}:
                (folder / "lib" / version / entry.name).symlink_to(entry)
        return folder / "bin" / version

    @staticmethod
    def path_without_pip(folder: Path, *programs: Path) -> str:
        """The tools of the script, and the given programs; no pip, no uv."""
        folder.mkdir()
        tools = ("bash", "sh", "env", "dirname", "readlink", "uname", "id", "sed", "tr", "find", "cksum", "sort", "cat")
        found = [Path(place) for name in (*tools, "rm", "mv") if (place := shutil.which(name))]
        for program in (*found, *programs):
            (folder / program.name).symlink_to(program)
        return str(folder)

    @staticmethod
    def run(checkout: Checkout, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
        """Run the start script where the distribution has no wheel of pip: hidden in a name space of its own."""
        folder = Path("/usr/share/python-wheels")
        if not folder.is_dir():
            return checkout.run(env=env)
        unshare, shell, mount = (shutil.which(name) or name for name in ("unshare", "sh", "mount"))
        hide = f'{mount} -t tmpfs tmpfs {folder} && exec "$0"'
        return run([unshare, "--mount", shell, "-c", hide, checkout.start], env=env, cwd=checkout.path)

    def test_neither_pip_nor_uv_is_one_error_with_the_command(self, checkout: Checkout, tmp_path: Path) -> None:
        python = self.python(tmp_path / "py")
        env = environment(LLM_GATEWAY_PYTHON=str(python), PATH=self.path_without_pip(tmp_path / "bin"))
        done = self.run(checkout, env)
        assert done.returncode == 3
        assert done.stderr.count("E202") == 1
        if Path("/etc/debian_version").exists():
            assert "apt-get install -y python3-pip" in done.stderr

    def test_ensurepips_wheel_is_enough(self, checkout: Checkout, tmp_path: Path) -> None:
        python = self.python(tmp_path / "py")
        # Made here, as python.org's Python has it: a distribution's own carries no wheel.
        bundled = tmp_path / "py/lib" / python.name / "ensurepip/_bundled"
        bundled.mkdir(parents=True)
        shutil.copy2(Path(os.__file__).parent / "ensurepip/__init__.py", bundled.parent)
        pip = [base_python(), "-m", "pip", "download", "--quiet", "--no-deps", "--dest", bundled, "pip"]
        run(pip, env=environment(), cwd=tmp_path).check_returncode()
        env = environment(LLM_GATEWAY_PYTHON=str(python), PATH=self.path_without_pip(tmp_path / "bin"))
        assert said(self.run(checkout, env))

    def test_a_uv_on_path_is_enough(self, checkout: Checkout, tmp_path: Path, installed_home: InstalledHome) -> None:
        python = self.python(tmp_path / "py")
        path = self.path_without_pip(tmp_path / "bin", installed_home.root / "venvs/uv/bin/uv")
        done = self.run(checkout, environment(LLM_GATEWAY_PYTHON=str(python), PATH=path))
        assert said(done)
        assert "no pip to install the tested version" in done.stderr

    def test_no_python_at_all(self, checkout: Checkout, tmp_path: Path) -> None:
        env = environment(LLM_GATEWAY_PYTHON="", PATH=self.path_without_pip(tmp_path / "bin"))
        done = self.run(checkout, env)
        assert done.returncode == 3
        assert "E201" in done.stderr
        done = self.run(checkout, {**env, "LLM_GATEWAY_PYTHON": "python2.7"})
        assert "python2.7" in done.stderr
