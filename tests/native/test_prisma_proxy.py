"""A real LiteLLM proxy on the WebAssembly engine: its API, its refusals, its resilience."""

from __future__ import annotations

import signal
import time
import uuid
from typing import TYPE_CHECKING, Any

import psutil
import psycopg
import pytest

from llm_gateway.prisma_wasm.migrate import inspect
from llm_gateway.probes import Deadline, wait
from support.litellm import Proxy, proxy
from support.postgres import cluster

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from llm_gateway.prisma_wasm.runtime import PrismaRuntime
    from support.postgres import Cluster

pytestmark = pytest.mark.needs("node", "postgres")


@pytest.fixture(scope="module")
def gateway(
    prisma_runtime: PrismaRuntime, postgres: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxy]:
    """Started on an empty database: LiteLLM itself asks the CLI stand-in for the migrations."""
    name = postgres.create_database()
    with proxy(prisma_runtime, postgres.url(name), tmp_path_factory.mktemp("proxy")) as running:
        assert inspect(postgres.url(name)).state == "current"
        yield running
    postgres.drop_database(name)


def _expect(running: Proxy, status: int, method: str, path: str, body: Any = None, **more: Any) -> Any:
    answer = running.call(method, path, body, **more)
    assert answer.status_code == status, f"{method} {path}: {answer.status_code} {answer.text[:600]}"
    is_json = answer.headers.get("content-type", "").startswith("application/json")
    return answer.json() if is_json else answer.text


def _until(condition: Callable[[], bool], seconds: float = 20) -> None:
    assert not wait(lambda: "" if condition() else "not yet", Deadline(seconds))


def test_litellm_made_its_views(gateway: Proxy) -> None:
    """Its check runs array_agg(viewname); where that fails no view is ever made."""
    with psycopg.connect(gateway.database) as connection:
        rows = connection.execute("SELECT viewname FROM pg_views WHERE schemaname = 'public'").fetchall()
    views = {name for (name,) in rows}
    assert {"LiteLLM_VerificationTokenView", "MonthlyGlobalSpend", "Last30dKeysBySpend"} <= views
    assert "Traceback" not in gateway.log.read_text()


def test_objects_can_be_managed(gateway: Proxy) -> None:
    n = uuid.uuid4().hex[:8]
    days = "start_date=2026-01-01%2000:00:00&end_date=2026-12-31%2000:00:00"
    month = "start_date=2026-01-01&end_date=2026-12-31"
    calls: list[tuple[str, str, Any]] = [
        ("POST", "/budget/new", {"budget_id": f"b-{n}", "max_budget": 5, "budget_duration": "1d"}),
        ("GET", "/budget/list", None),
        ("POST", "/budget/info", {"budgets": [f"b-{n}"]}),
        ("POST", "/budget/update", {"budget_id": f"b-{n}", "max_budget": 6}),
        ("POST", "/team/new", {"team_id": f"t-{n}", "team_alias": f"t-{n}", "metadata": {"a": {"b": [1]}}}),
        ("POST", "/team/update", {"team_id": f"t-{n}", "max_budget": 9}),
        ("GET", f"/team/info?team_id=t-{n}", None),
        ("GET", "/team/list", None),
        ("POST", "/user/new", {"user_id": f"u-{n}", "user_email": f"{n}@example.org"}),
        ("GET", f"/user/info?user_id=u-{n}", None),
        ("GET", "/user/list", None),
        ("POST", "/user/update", {"user_id": f"u-{n}", "max_budget": 3}),
        ("POST", "/team/member_add", {"team_id": f"t-{n}",
                                      "member": {"role": "user", "user_id": f"u-{n}"}}),
        ("POST", "/customer/new", {"user_id": f"c-{n}", "budget_id": f"b-{n}"}),
        ("POST", "/customer/new", {"user_id": f"d-{n}", "max_budget": 2}),
        ("GET", f"/customer/info?end_user_id=c-{n}", None),
        ("GET", "/customer/list", None),
        ("POST", "/key/generate", {"team_id": f"t-{n}", "user_id": f"u-{n}", "key_alias": f"k-{n}",
                                   "models": ["mock"], "max_budget": 4, "budget_duration": "30d",
                                   "duration": "2h", "rpm_limit": 90, "tpm_limit": 9000,
                                   "metadata": {"x": "y"}, "key": f"sk-{n}-0123456789"}),
        ("POST", "/key/generate", {}),
        ("POST", "/key/generate", {"key": f"sk-{n}-second-01234"}),
        ("POST", "/key/generate", {"key": f"sk-{n}-second-01234"}),
        ("GET", f"/key/info?key=sk-{n}-0123456789", None),
        ("GET", "/key/list?return_full_object=true", None),
        ("GET", "/key/aliases", None),
        ("POST", "/key/update", {"key": f"sk-{n}-0123456789", "max_budget": 5}),
        ("POST", "/key/block", {"key": f"sk-{n}-0123456789"}),
        ("POST", "/key/unblock", {"key": f"sk-{n}-0123456789"}),
        ("POST", "/model/new", {"model_name": f"m-{n}",
                                "litellm_params": {"model": "openai/gpt-4o-mini", "api_key": "k",
                                                   "mock_response": "from the database"}}),
        ("GET", "/model/info", None),
        ("POST", "/credentials", {"credential_name": f"cred-{n}", "credential_values": {"api_key": "k"},
                                  "credential_info": {"d": "e"}}),
        ("GET", "/credentials", None),
        ("POST", "/tag/new", {"name": f"tag-{n}", "models": []}),
        ("GET", "/tag/list", None),
        ("POST", "/invitation/new", {"user_id": f"u-{n}"}),
        ("GET", "/spend/logs", None),
        ("GET", f"/spend/logs/ui?{days}", None),
        ("GET", f"/spend/logs/v2?{days}", None),
        ("GET", "/spend/keys", None),
        ("GET", "/spend/tags", None),
        ("GET", "/global/spend", None),
        ("GET", "/global/spend/logs", None),
        ("GET", "/global/spend/models", None),
        ("GET", f"/global/activity?{month}", None),
        ("GET", f"/user/daily/activity?{month}", None),
        ("GET", f"/team/daily/activity?{month}", None),
        ("GET", f"/tag/daily/activity?{month}", None),
        ("GET", "/audit", None),
        ("GET", "/health/readiness", None),
        ("GET", "/ui/", None),
        ("POST", "/v2/login", {"username": "admin", "password": "test-password"}),
        ("POST", "/team/member_delete", {"team_id": f"t-{n}", "user_id": f"u-{n}"}),
        ("POST", "/key/delete", {"keys": [f"sk-{n}-0123456789", f"sk-{n}-second-01234"]}),
        ("POST", "/customer/delete", {"user_ids": [f"c-{n}", f"d-{n}"]}),
        ("POST", "/user/delete", {"user_ids": [f"u-{n}"]}),
        ("POST", "/team/delete", {"team_ids": [f"t-{n}"]}),
        ("POST", "/budget/delete", {"id": f"b-{n}"}),
    ]  # fmt: skip
    wrong = []
    for method, path, body in calls:
        answer = gateway.call(method, path, body, follow_redirects=True)
        if answer.status_code != 200:
            wrong.append(f"{method} {path}: {answer.status_code} {answer.text[:300]}")
    assert not wrong, "\n".join(wrong)
    form = {"username": "admin", "password": "test-password"}
    assert gateway.client.post(f"{gateway.url}/login", data=form).status_code == 303
    assert gateway.chat(model=f"m-{n}").json()["choices"][0]["message"]["content"] == "from the database"


def test_refusals(gateway: Proxy) -> None:
    key = _expect(gateway, 200, "POST", "/key/generate", {"models": ["mock"]})["key"]
    assert gateway.chat(key=key).status_code == 200
    assert gateway.chat(key=key, model="other").status_code == 403
    assert gateway.chat(key="sk-unknown-0123456789").status_code == 401
    _expect(gateway, 200, "POST", "/key/block", {"key": key})
    assert gateway.chat(key=key).status_code == 401
    _expect(gateway, 403, "POST", "/organization/new", {"organization_alias": "x"})
    _expect(gateway, 403, "GET", "/organization/list")
    _expect(gateway, 400, "GET", "/global/spend/report?start_date=2026-01-01&end_date=2026-12-31")
    _expect(gateway, 500, "POST", f"/key/{key}/regenerate", {})
    _expect(gateway, 400, "POST", "/key/generate", {"key": "sk-short"})


def test_spend_and_budgets(gateway: Proxy) -> None:
    customer = f"c-{uuid.uuid4().hex[:8]}"
    free = _expect(gateway, 200, "POST", "/key/generate", {})["key"]
    tiny = _expect(gateway, 200, "POST", "/key/generate", {"max_budget": 0.000001})["key"]
    _expect(gateway, 200, "POST", "/customer/new", {"user_id": customer, "max_budget": 0.000001})
    assert gateway.chat(key=free, metadata={"tags": ["one"]}).status_code == 200
    assert "data:" in gateway.chat(key=free, stream=True).text
    assert gateway.chat(key=tiny).status_code == 200
    assert gateway.chat(key=free, user=customer).status_code == 200

    def spend(key: str) -> float:
        return float(_expect(gateway, 200, "GET", f"/key/info?key={key}")["info"]["spend"])

    def customer_spend() -> float:
        return float(_expect(gateway, 200, "GET", f"/customer/info?end_user_id={customer}")["spend"])

    _until(lambda: spend(free) > 0 and spend(tiny) > 0 and customer_spend() > 0, 40)
    refused = gateway.chat(key=tiny)
    assert (refused.status_code, "budget" in refused.text.lower()) == (422, True)
    refused = gateway.chat(key=free, user=customer)
    assert (refused.status_code, "ExceededBudget" in refused.text) == (422, True)
    models = _expect(gateway, 200, "GET", "/v1/models", key=free)["data"]
    assert {"mock", "other"} <= {model["id"] for model in models}


def test_a_killed_engine_is_replaced(gateway: Proxy) -> None:
    key = _expect(gateway, 200, "POST", "/key/generate", {})["key"]
    [engine] = gateway.engines()
    engine.kill()
    _until(lambda: engine.pid not in {one.pid for one in gateway.engines()} and len(gateway.engines()) == 1)
    _until(lambda: gateway.chat(key=key).status_code == 200, 10)
    _expect(gateway, 200, "GET", f"/key/info?key={key}")


@pytest.mark.long
def test_a_database_that_crashes_and_comes_back(prisma_runtime: PrismaRuntime, tmp_path: Path) -> None:
    with cluster() as server, proxy(prisma_runtime, server.url(), tmp_path) as running:
        server.stop(signal.SIGQUIT)
        _until(lambda: running.call("GET", "/health/readiness").status_code == 503)
        assert running.chat(key="sk-unknown-0123456789").status_code in {401, 503}
        server.start()
        _until(lambda: running.call("POST", "/key/generate", {}).status_code == 200, 30)
        _until(lambda: running.call("GET", "/health/readiness").status_code == 200, 30)


@pytest.mark.long
def test_a_killed_worker_takes_its_engine_along(prisma_runtime: PrismaRuntime, migrated: str, tmp_path: Path) -> None:
    with proxy(prisma_runtime, migrated, tmp_path, workers=2) as running:
        _until(lambda: len(running.engines()) == 2, 60)
        engine = running.engines()[0]
        worker = psutil.Process(engine.ppid())
        killed = time.monotonic()
        worker.kill()
        _until(lambda: not engine.is_running() or engine.status() == "zombie", 10)
        assert time.monotonic() - killed < 10
        _until(lambda: len(running.engines()) == 2, 60)
        assert running.chat().status_code == 200
