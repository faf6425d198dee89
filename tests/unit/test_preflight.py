"""What a machine cannot run is refused before anything is downloaded."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from llm_gateway.bootstrap.preflight import Chosen, Machine, check, choose, memory_limit
from llm_gateway.errors import PreconditionError

FINE = Machine(system="linux", processor="x86_64", python=(3, 12), glibc=(2, 36), memory=16000, disk=50000)


def refusal(home: Path, *arguments: str, machine: Machine = FINE, **environ: str) -> PreconditionError:
    with pytest.raises(PreconditionError) as caught:
        check(home, arguments, environ, machine=machine)
    return caught.value


def test_a_usual_machine_passes(tmp_path: Path) -> None:
    check(tmp_path / "new" / "home", [], {}, machine=FINE)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"system": "win32"}, "WSL2"),
        ({"system": "cygwin"}, "WSL2"),
        ({"glibc": None}, "musl"),
        ({"glibc": (2, 27)}, "2.28"),
        ({"processor": "armv7l"}, "armv7l"),
        ({"system": "darwin", "glibc": None}, "Intel"),
        ({"python": (3, 10)}, "3.10"),
        ({"python": (3, 15)}, "3.15"),
    ],
)
def test_systems_without_packages(tmp_path: Path, change: dict[str, object], named: str) -> None:
    problem = refusal(tmp_path, machine=replace(FINE, **change)).problem
    assert problem.code == "E203"
    assert named in problem.cause + problem.next


def test_macos_has_no_glibc_and_passes(tmp_path: Path) -> None:
    check(tmp_path, [], {}, machine=replace(FINE, system="darwin", glibc=None, processor="arm64"))


def test_too_little_memory_proposes_the_smaller_stack_that_fits(tmp_path: Path) -> None:
    whole = Chosen(workers=4)
    problem = refusal(tmp_path, "--workers", "4", machine=replace(FINE, memory=whole.memory - 1)).problem
    assert problem.code == "E204"
    assert "--workers 1" in problem.next
    assert "--no-database" not in problem.next
    smallest = Chosen(database=False, server=False, redis=False).memory
    problem = refusal(tmp_path, machine=replace(FINE, memory=smallest)).problem
    assert "--no-enable-redis --no-database" in problem.next
    assert "more memory" in refusal(tmp_path, machine=replace(FINE, memory=smallest - 1)).problem.next


def test_the_proposed_stack_is_accepted(tmp_path: Path) -> None:
    machine = replace(FINE, memory=500)
    proposed = refusal(tmp_path, machine=machine).problem.next.partition("start_llm_gateway.sh ")[2].partition(" (")[0]
    check(tmp_path, proposed.split(), {}, machine=machine)


def test_too_little_disk(tmp_path: Path) -> None:
    problem = refusal(tmp_path, machine=replace(FINE, disk=100)).problem
    assert problem.code == "E205"
    assert "df -h" in problem.next


def test_it_can_be_skipped(tmp_path: Path) -> None:
    check(tmp_path, [], {"LLM_GATEWAY_SKIP_PREFLIGHT": "true"}, machine=replace(FINE, memory=1))


@pytest.mark.parametrize(
    ("arguments", "environ", "expected"),
    [
        ([], {}, Chosen()),
        (["--no-database"], {}, Chosen(database=False, server=False)),
        ([], {"DATABASE_URL": "postgresql://x"}, Chosen(server=False)),
        ([], {"LLM_GATEWAY_ENABLE_REDIS": "false"}, Chosen(redis=False)),
        (["--enable-redis"], {"LLM_GATEWAY_ENABLE_REDIS": "false"}, Chosen()),
        (["--workers=3"], {"LLM_GATEWAY_WORKERS": "2"}, Chosen(workers=3)),
        (["--workers", "many"], {}, Chosen()),
    ],
)
def test_the_stack_is_read_from_flags_and_variables(
    arguments: list[str], environ: dict[str, str], expected: Chosen
) -> None:
    assert choose(arguments, environ) == expected


@pytest.mark.needs("unprivileged-user")
def test_a_home_of_another_user_is_refused(tmp_path: Path) -> None:
    child = os.fork()
    if child == 0:
        os.setuid(65534)
        try:
            check(Path("/root-owned-home"), [], {}, machine=FINE)
        except PreconditionError as error:
            os._exit(int(error.problem.code[1:]) - 200)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 6


class TestMemoryLimit:
    @staticmethod
    def machine(path: Path, cgroup: str, **files: str) -> int:
        proc, groups = path / "proc", path / "cgroup"
        (proc / "self").mkdir(parents=True)
        (proc / "meminfo").write_text("MemTotal:       16384 kB\nMemFree: 1 kB\n")
        (proc / "self/cgroup").write_text(cgroup)
        for name, text in files.items():
            file = groups / name.replace("__", "/").replace("_DOT_", ".")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return memory_limit(proc=proc, groups=groups) // 1024

    def test_no_limit(self, tmp_path: Path) -> None:
        assert self.machine(tmp_path, "0::/user.slice\n", user_DOT_slice__memory_DOT_max="max\n") == 16384

    def test_version_2_the_smallest_of_the_parents(self, tmp_path: Path) -> None:
        files = {"a__memory_DOT_max": f"{4096 * 1024}\n", "a__b__memory_DOT_max": "max\n"}
        assert self.machine(tmp_path, "0::/a/b\n", **files) == 4096

    def test_version_2_in_a_container(self, tmp_path: Path) -> None:
        assert self.machine(tmp_path, "0::/\n", memory_DOT_max=f"{2048 * 1024}\n") == 2048

    def test_version_1(self, tmp_path: Path) -> None:
        files = {"memory__docker__x__memory_DOT_limit_in_bytes": f"{1024 * 1024}\n"}
        assert self.machine(tmp_path, "4:memory:/docker/x\n1:cpu:/\n", **files) == 1024

    def test_version_1_without_a_limit_is_a_huge_number(self, tmp_path: Path) -> None:
        files = {"memory__memory_DOT_limit_in_bytes": "9223372036854771712\n"}
        assert self.machine(tmp_path, "4:memory:/\n", **files) == 16384
