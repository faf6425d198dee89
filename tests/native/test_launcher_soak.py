"""A long run of forked workers: nothing fails but what a killed worker held, nothing grows."""

from __future__ import annotations

import time
from dataclasses import dataclass

import psutil
import pytest

from support.forks import Pair, forked_pair, held
from support.launcher import MASTER_KEY, until
from support.steady_client import steady

RATE, STREAMS, SECONDS, KILLS = 30, 4, 60, 4
MOST_GROWTH = 30 * 2**20  # measured: 12 to 17 MB
MOST_CONNECTIONS = 80  # measured: 33; a leak has hundreds


@dataclass(frozen=True)
class Usage:
    """What a process holds. Its pool of Redis connections is as large as its busiest moment and stays so."""

    memory: int
    redis: int
    descriptors: int  # but those

    @classmethod
    def of(cls, pid: int, pair: Pair) -> Usage:
        redis = len(held(pid, pair.redis.port))
        process = psutil.Process(pid)
        return cls(process.memory_full_info().pss, redis, process.num_fds() - redis)


@pytest.mark.long
@pytest.mark.needs("redis")
@pytest.mark.timeout(400)
def test_a_minute_of_mixed_load_with_killed_workers(tmp_path, migrated, prisma_runtime):
    with forked_pair(tmp_path, migrated, prisma_runtime) as pair:
        gateway, nursery = pair.gateway, pair.nursery
        pair.upstream.pace(3.0)
        pair.ask_both(model="demo-chat", cache={"no-cache": True})
        pair.ask_both(model="real")
        kept = gateway.workers()[0]
        still = {pid: Usage.of(pid, pair) for pid in (kept, nursery, gateway.process.pid)}
        ends: list[tuple[float, float]] = []  # of killed workers: from the signal until nothing of them is left
        with steady(gateway.address, key=MASTER_KEY, streamed="real", rate=RATE, streams=STREAMS) as client:

            def reach(part: float) -> None:
                wanted = int(part * RATE * SECONDS)
                until(lambda: len(client.report().of("plain")) >= wanted, seconds=3 * SECONDS)

            reach(0.2)
            warm = Usage.of(kept, pair)
            for number in range(KILLS):
                reach(0.3 + number * 0.15)
                (victim,) = set(gateway.workers()) - {kept}
                process, killed = psutil.Process(victim), time.monotonic()
                process.kill()
                process.wait(10)
                ends.append((killed, time.monotonic()))
                until(lambda victim=victim: victim not in gateway.workers() and len(gateway.workers()) == 2)
            reach(1)
            report = client.stop()
        assert len(report.of("plain")) >= RATE * SECONDS
        unexplained = [
            call
            for call in report.failures
            if not any(call.sent <= gone and killed <= call.ended for killed, gone in ends)
        ]
        assert unexplained == []
        assert len(report.failures) <= KILLS * (STREAMS + 3)
        assert kept in gateway.workers()
        worn = Usage.of(kept, pair)
        assert worn.memory - warm.memory < MOST_GROWTH
        assert worn.redis < MOST_CONNECTIONS
        # idle keep-alive connections end by themselves after some seconds
        until(
            lambda: Usage.of(kept, pair).descriptors <= still[kept].descriptors + 4,
            reason="descriptors of a worker leak",
        )
        for pid in (nursery, gateway.process.pid):
            assert Usage.of(pid, pair).descriptors == still[pid].descriptors
            assert Usage.of(pid, pair).memory - still[pid].memory < MOST_GROWTH
