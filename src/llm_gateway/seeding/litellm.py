"""The wanted objects of LiteLLM: read back first, create what is missing, change what differs, report each.

LiteLLM answers duplicates with 200, 400 or 409 depending on the object (facts/prisma.md section 6), so existence is
always decided by reading.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from llm_gateway.names import INTERNAL

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from llm_gateway.seeding.api import AdminApi

Outcome = Literal["created", "unchanged", "changed"]
TEAM, USER, CUSTOMER, BUDGET = "llm-gateway-team", "llm-gateway-user", "llm-gateway-customer", "llm-gateway-budget"
KEY_ALIAS, METRICS_ALIAS = "llm-gateway-key", "llm-gateway-metrics"
MANAGED = {"managed_by": "llm-gateway"}


@dataclass(frozen=True, slots=True)
class Report:
    """What happened to one object. `fields` names what was changed."""

    kind: str
    id: str
    outcome: Outcome
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Wanted:
    """One object that should exist.

    Attributes:
        kind: `budget`, `team`, `user`, `customer` or `key`.
        id: the id that people see.
        read: gives the object's present fields, None when it does not exist; it is told what was reported so far.
            It avoids LiteLLM's routes that log a traceback for what does not exist.
        create: makes it.
        update: sets the given fields.
        fields: what it should have; other fields belong to the person.
    """

    kind: str
    id: str
    read: Callable[[AdminApi, Sequence[Report]], Mapping[str, Any] | None]
    create: Callable[[AdminApi], object]
    update: Callable[[AdminApi, Mapping[str, Any]], object]
    fields: Mapping[str, Any] = field(default_factory=dict)


def wanted(virtual_key: str) -> tuple[Wanted, ...]:
    """The seeded objects, in the order in which they refer to each other."""
    own = {"user_id": USER, "team_id": TEAM}
    return (
        _budget(),
        _team(TEAM),
        _user(USER, TEAM),
        _customer(CUSTOMER, BUDGET),
        _key(virtual_key, KEY_ALIAS, own),
    )


def internal() -> tuple[Wanted, ...]:
    """Team, user and customer of the kit's own calls, without limits."""
    return (_team(INTERNAL), _user(INTERNAL, INTERNAL), _customer(INTERNAL))


def apply(api: AdminApi, objects: tuple[Wanted, ...], *, dry_run: bool = False) -> list[Report]:
    """Make the objects exist as wanted.

    Args:
        api: of the running gateway.
        objects: see `wanted`.
        dry_run: only report what would happen.

    Returns:
        One report per object.

    Raises:
        GatewayError: E601, E602.
    """
    reports: list[Report] = []
    for item in objects:
        present = item.read(api, reports)
        if present is None:
            if not dry_run:
                item.create(api)
            reports.append(Report(item.kind, item.id, "created"))
            continue
        different = {name: value for name, value in item.fields.items() if present.get(name) != value}
        if different and not dry_run:
            item.update(api, different)
        outcome: Outcome = "changed" if different else "unchanged"
        reports.append(Report(item.kind, item.id, outcome, tuple(different)))
    return reports


def _first(objects: Any) -> dict[str, Any] | None:
    return dict(objects[0]) if objects else None


def _budget() -> Wanted:
    # A customer's allowance; generous, because LiteLLM reserves the worst case of every call in flight.
    fields = {"max_budget": 100.0, "budget_duration": "30d"}
    return Wanted(
        "budget",
        BUDGET,
        read=lambda api, _before: _first(api.send("POST", "/budget/info", json={"budgets": [BUDGET]})),
        create=lambda api: api.send("POST", "/budget/new", json={"budget_id": BUDGET, **fields}),
        update=lambda api, change: api.send("POST", "/budget/update", json={"budget_id": BUDGET, **change}),
    )


def _team(team: str) -> Wanted:
    fields = {"team_alias": team, "metadata": MANAGED}

    def read(api: AdminApi, _before: Sequence[Report]) -> Mapping[str, Any] | None:
        return _first(api.send("GET", "/v2/team/list", params={"team_id": team})["teams"])

    return Wanted(
        "team",
        team,
        read=read,
        create=lambda api: api.send("POST", "/team/new", json={"team_id": team, **fields}),
        update=lambda api, change: api.send("POST", "/team/update", json={"team_id": team, **change}),
        fields={"team_alias": team},
    )


def _user(user: str, team: str) -> Wanted:
    fields = {"user_alias": user, "user_role": "internal_user"}

    def read(api: AdminApi, _before: Sequence[Report]) -> Mapping[str, Any] | None:
        return _first(api.send("GET", "/user/list", params={"user_ids": user})["users"])

    body = {"user_id": user, **fields, "teams": [team], "metadata": MANAGED, "auto_create_key": False}
    return Wanted(
        "user",
        user,
        read=read,
        create=lambda api: api.send("POST", "/user/new", json=body),
        update=lambda api, change: api.send("POST", "/user/update", json={"user_id": user, **change}),
        fields=fields,
    )


def _customer(customer: str, budget: str | None = None) -> Wanted:
    def read(api: AdminApi, before: Sequence[Report]) -> Mapping[str, Any] | None:
        if all(report.outcome == "created" for report in before):
            # The gateway is new to the kit, so it has few customers; an old one may have thousands.
            return next((c for c in api.send("GET", "/customer/list") if c["user_id"] == customer), None)
        answer = api.find("GET", "/customer/info", not_there=(400, 404), params={"end_user_id": customer})
        return dict(answer) if answer else None

    return Wanted(
        "customer",
        customer,
        read=read,
        create=lambda api: api.send("POST", "/customer/new", json={"user_id": customer, "budget_id": budget}),
        update=lambda api, change: api.send("POST", "/customer/update", json={"user_id": customer, **change}),
    )


def metrics_key(key: str) -> Wanted:
    """The key with which Prometheus reads the gateway's metrics; LiteLLM refuses it everything else."""
    return _key(key, METRICS_ALIAS, {"allowed_routes": ["/metrics", "/metrics/"]})


def _key(key: str, alias: str, also: Mapping[str, Any]) -> Wanted:
    fields = {"key_alias": alias, **also}

    def read(api: AdminApi, _before: Sequence[Report]) -> Mapping[str, Any] | None:
        query = {"key_hash": hashlib.sha256(key.encode()).hexdigest(), "return_full_object": "true"}
        return _first(api.send("GET", "/key/list", params=query)["keys"])

    def create(api: AdminApi) -> object:
        _retire_older_keys(api, alias)
        return api.send("POST", "/key/generate", json={"key": key, **fields, "metadata": MANAGED})

    return Wanted(
        "key",
        alias,
        read=read,
        create=create,
        update=lambda api, change: api.send("POST", "/key/update", json={"key": key, **change}),
        fields=fields,
    )


def _retire_older_keys(api: AdminApi, alias: str) -> None:
    """Free the alias when the key in `.env` was changed: the key that had it is the kit's own old one."""
    listed = api.send("GET", "/key/list", params={"key_alias": alias, "return_full_object": "true"})
    old = [key["token"] for key in listed.get("keys", []) if (key.get("metadata") or {}) == MANAGED]
    if old:
        api.send("POST", "/key/delete", json={"keys": old})
