"""The samples that workers keep for Prometheus: one set of files for each place a worker can have.

prometheus_client writes a process's samples to files named after its pid, and LiteLLM's `/metrics` adds up all of
them. Counters of workers that ended must stay, or the sums would fall; so with pids every reload and every crash
would leave files for ever, which every scrape reads. Here a worker writes under the lowest number that no living
process has: who comes after a dead worker goes on with its files, and there are never more than processes at once.
A number is held by a lock on a file, which the kernel drops with the process, however that ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
_LARGEST = 4096  # far beyond the processes of one gateway

_name = ""
_lock = -1


def adopt() -> None:
    """Let this process write its samples under a number of its own; before the first metric is made.

    Nothing happens where no directory of samples is set.
    """
    if os.environ.get(VARIABLE):
        take_number()
        from prometheus_client import values  # noqa: PLC0415 - read by LiteLLM's import, too; not in the supervisor

        values.ValueClass = values.MultiProcessValue(lambda: _name)  # type: ignore[no-untyped-call]


def take_number() -> None:
    """Take a free number; in a process that was forked, another one than its parent's."""
    global _name, _lock
    directory = os.environ.get(VARIABLE)
    if not directory:
        return
    if _lock >= 0:
        os.close(_lock)  # the parent's; it holds on to it by itself
    for number in range(1, _LARGEST):
        lock = os.open(Path(directory) / f"worker-{number}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        if _locked(lock):
            # Not a bare number: LiteLLM takes that for a pid and removes the live gauges of pids that it cannot find.
            _name, _lock = f"worker-{number}", lock
            _forget_live(Path(directory), _name)
            return
        os.close(lock)
    raise OSError(f"all {_LARGEST} numbers for samples in {directory} are taken")


def _locked(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def keep_latest_gauges() -> None:
    """Of LiteLLM's gauges only the latest value counts, whichever worker set it; after LiteLLM's import.

    By default each worker's value is a series of its own: the remaining budget of a key as each of them saw it last,
    for ever, also after a reset that the others have not met.
    """
    if not os.environ.get(VARIABLE):
        return
    from functools import partial  # noqa: PLC0415 - see adopt

    from litellm.integrations.prometheus import PrometheusLogger  # noqa: PLC0415
    from prometheus_client import Gauge  # noqa: PLC0415

    made = PrometheusLogger._create_metric_factory  # noqa: SLF001 - LiteLLM 1.106.2 has no switch for it

    def factory(self: object, metric_class: object, **options: object) -> object:
        latest = partial(Gauge, multiprocess_mode="mostrecent") if metric_class is Gauge else metric_class
        return made(self, latest, **options)

    PrometheusLogger._create_metric_factory = factory  # noqa: SLF001


def prepare(directory: Path, *, empty: bool) -> None:
    """Make the directory; with `empty` remove the samples of an earlier run, and nothing else that is there."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    patterns = ("*.db", "litellm_admitted_series*", "worker-*.lock") if empty else ()
    for file in [file for pattern in patterns for file in directory.glob(pattern)]:
        file.unlink(missing_ok=True)


def forget_dead(directory: Path) -> None:
    """Drop the live gauges of numbers that nobody holds, as prometheus_client's mark_process_dead does for a pid."""
    with contextlib.suppress(OSError):  # a disk that fails is no reason to end workers
        for path in directory.glob("worker-*.lock"):
            lock = os.open(path, os.O_RDWR)
            try:
                if _locked(lock):
                    _forget_live(directory, path.stem)
            finally:
                os.close(lock)


def _forget_live(directory: Path, name: str) -> None:
    for file in directory.glob(f"gauge_live*_{name}.db"):
        file.unlink(missing_ok=True)
