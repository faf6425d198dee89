"""What LiteLLM does with its database client, through the client and the WebAssembly engine."""

from __future__ import annotations

import re
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from support.prisma import Orm

pytestmark = pytest.mark.needs("node", "postgres")


def _id() -> str:
    return uuid.uuid4().hex


async def _users(db: Any, *spends: float, **more: Any) -> str:
    """Users of one team with these spends; returns the team."""
    team = _id()
    for number, spend in enumerate(spends):
        await db.litellm_usertable.create(data={"user_id": f"{team}-{number}", "team_id": team, "spend": spend, **more})
    return team


def test_create_find_and_miss(orm: Orm) -> None:
    async def scenario(db: Any) -> None:
        import prisma

        user = _id()
        made = await db.litellm_usertable.create(data={"user_id": user, "tpm_limit": 2**40, "models": ["a", "b"]})
        assert (made.user_id, made.tpm_limit, made.models) == (user, 2**40, ["a", "b"])
        assert made.created_at.tzinfo is not None
        assert abs(datetime.now(UTC) - made.created_at) < timedelta(minutes=1)
        assert await db.litellm_usertable.find_unique(where={"user_id": _id()}) is None
        assert (await db.litellm_usertable.find_unique_or_raise(where={"user_id": user})).user_id == user
        assert (await db.litellm_usertable.find_first_or_raise(where={"user_id": user})).user_id == user
        with pytest.raises(prisma.errors.RecordNotFoundError):
            await db.litellm_usertable.find_unique_or_raise(where={"user_id": _id()})

    orm.run(scenario)


def test_find_many_filters_orders_and_pages(orm: Orm) -> None:
    async def scenario(db: Any) -> None:
        table = db.litellm_usertable
        team = await _users(db, 1, 2, 3, 4, 5)

        async def spends(where: dict[str, Any], **more: Any) -> list[float]:
            found = await table.find_many(where={"team_id": team, **where}, order={"spend": "asc"}, **more)
            return [user.spend for user in found]

        assert await spends({"spend": {"gt": 3}}) == [4, 5]
        assert await spends({"NOT": [{"spend": {"lt": 4}}]}) == [4, 5]
        assert await spends({"spend": {"in": [1, 5, 9]}}) == [1, 5]
        assert await spends({"OR": [{"spend": 1}, {"user_id": f"{team}-1"}]}) == [1, 2]
        assert await spends({}, take=2) == [1, 2]
        assert await spends({}, cursor={"user_id": f"{team}-1"}, skip=1, take=2) == [3, 4]
        assert await table.count(where={"team_id": team}) == 5
        assert await table.count(take=2, where={"team_id": team}) == 2
        newest = await table.find_first(where={"team_id": team}, order={"spend": "desc"})
        assert newest.spend == 5

    orm.run(scenario)


def test_updates(orm: Orm) -> None:
    async def scenario(db: Any) -> None:
        table = db.litellm_usertable
        team = await _users(db, 1, 2, 3)
        assert await table.update(where={"user_id": _id()}, data={"spend": 1}) is None
        changed = await table.update_many(
            where={"OR": [{"user_id": f"{team}-0"}, {"user_id": f"{team}-1"}]},
            data={"spend": {"increment": 10}},
        )
        assert changed == 2
        await table.update_many(where={"user_id": f"{team}-2"}, data={"spend": {"multiply": 4}})
        found = await table.find_many(where={"team_id": team}, order={"user_id": "asc"})
        assert [user.spend for user in found] == [11, 12, 12]
        assert (await table.delete(where={"user_id": f"{team}-0"})).spend == 11
        assert await table.delete(where={"user_id": f"{team}-0"}) is None
        assert await table.delete_many(where={"team_id": team}) == 2

    orm.run(scenario)


def test_create_many_skips_duplicates_when_asked(orm: Orm) -> None:
    async def scenario(db: Any) -> None:
        import prisma

        rows = [{"user_id": _id(), "metadata": prisma.Json({"n": n})} for n in range(4)]
        assert await db.litellm_usertable.create_many(data=rows, skip_duplicates=True) == 4
        assert await db.litellm_usertable.create_many(data=rows, skip_duplicates=True) == 0
        found = await db.litellm_usertable.find_unique(where={"user_id": rows[3]["user_id"]})
        assert found.metadata == {"n": 3}

    orm.run(scenario)


def test_distinct_and_insensitive(orm: Orm) -> None:
    async def scenario(db: Any) -> None:
        team = await _users(db, 1, 1, 2, user_email="Someone@Example.org")
        where = {"team_id": team}
        found = await db.litellm_usertable.find_many(where=where, distinct=["spend"], order={"spend": "asc"})
        assert [user.spend for user in found] == [1, 2]
        where["user_email"] = {"contains": "EXAMPLE", "mode": "insensitive"}
        assert await db.litellm_usertable.count(where=where) == 3
        where["user_email"] = {"contains": "EXAMPLE"}
        assert await db.litellm_usertable.count(where=where) == 0

    orm.run(scenario)


@pytest.mark.parametrize(
    "value",
    [
        {"a": {"b": [1, 2.5, None, True]}},
        [1, "two"],
        {"quote": 'say "hi" \\ \n\u2028  x\x85'},
        "text",
        "123",
        5,
        None,
        {},
    ],
)
def test_json_comes_back_as_it_was(orm: Orm, value: Any) -> None:
    async def scenario(db: Any) -> None:
        import prisma

        user = _id()
        await db.litellm_usertable.create(data={"user_id": user, "metadata": prisma.Json(value)})
        assert (await db.litellm_usertable.find_unique(where={"user_id": user})).metadata == value
        [row] = await db.query_raw('SELECT metadata FROM "LiteLLM_UserTable" WHERE user_id = $1', user)
        assert row["metadata"] == value

    orm.run(scenario)


def test_json_filters(orm: Orm) -> None:
    async def scenario(db: Any) -> None:
        import prisma

        table, team = db.litellm_usertable, _id()
        for name in ("ann", "bob"):
            metadata = prisma.Json({"name": name, "deep": {"n": [name]}})
            await table.create(data={"user_id": f"{team}-{name}", "team_id": team, "metadata": metadata})

        async def names(metadata: dict[str, Any]) -> list[str]:
            found = await table.find_many(where={"team_id": team, "metadata": metadata})
            return sorted(user.metadata["name"] for user in found)

        assert await names({"path": ["name"], "equals": prisma.Json("ann")}) == ["ann"]
        assert await names({"path": ["deep", "n", "0"], "equals": prisma.Json("bob")}) == ["bob"]
        assert await names({"path": ["name"], "string_contains": "o"}) == ["bob"]
        assert await names({"path": ["name"], "string_starts_with": "a"}) == ["ann"]
        assert await names({"equals": prisma.Json({"name": "ann", "deep": {"n": ["ann"]}})}) == ["ann"]
        assert await names({"not": prisma.Json({"name": "ann", "deep": {"n": ["ann"]}})}) == ["bob"]

    orm.run(scenario)


def test_relations(orm: Orm) -> None:
    async def scenario(db: Any) -> None:
        import prisma

        budget = _id()
        await db.litellm_budgettable.create(
            data={
                "budget_id": budget,
                "max_budget": 2.5,
                "created_by": "t",
                "updated_by": "t",
                "keys": {
                    "create": [
                        {"token": f"{budget}-1", "metadata": prisma.Json({"team": "red"})},
                        {"token": f"{budget}-2", "metadata": prisma.Json({"team": "blue"})},
                    ]
                },
            }
        )
        key = await db.litellm_verificationtoken.find_unique(
            where={"token": f"{budget}-1"}, include={"litellm_budget_table": True}
        )
        assert (key.metadata, key.litellm_budget_table.max_budget) == ({"team": "red"}, 2.5)
        red = {"path": ["team"], "equals": prisma.Json("red")}
        found = await db.litellm_budgettable.find_unique(
            where={"budget_id": budget}, include={"keys": {"where": {"metadata": red}, "take": 5}}
        )
        assert [key.token for key in found.keys] == [f"{budget}-1"]
        found = await db.litellm_verificationtoken.find_many(
            where={"litellm_budget_table": {"is": {"budget_id": budget}}, "metadata": red}
        )
        assert [key.token for key in found] == [f"{budget}-1"]
        where = {"budget_id": budget, "keys": {"some": {"metadata": red}}}
        assert await db.litellm_budgettable.count(where=where) == 1
        where = {"budget_id": budget, "keys": {"every": {"metadata": red}}}
        assert await db.litellm_budgettable.count(where=where) == 0

    orm.run(scenario)


def test_lists_push_and_has(orm: Orm) -> None:
    async def scenario(db: Any) -> None:
        team = _id()
        await db.litellm_teamtable.create(data={"team_id": team, "members": ["a"]})
        await db.litellm_teamtable.update(where={"team_id": team}, data={"members": {"push": ["b", "c"]}})
        found = await db.litellm_teamtable.find_first(where={"team_id": team, "members": {"has": "c"}})
        assert found.members == ["a", "b", "c"]
        await db.litellm_teamtable.update(where={"team_id": team}, data={"members": {"set": []}})
        assert await db.litellm_teamtable.count(where={"team_id": team, "members": {"has": "c"}}) == 0

    orm.run(scenario)


def test_upsert_by_a_compound_key(orm: Orm) -> None:
    async def scenario(db: Any) -> None:
        names = (
            "user_id",
            "date",
            "api_key",
            "model",
            "custom_llm_provider",
            "mcp_namespaced_tool_name",
            "endpoint",
        )
        key = dict.fromkeys(names, _id())
        data = {
            "create": {**key, "spend": 1, "prompt_tokens": 3_000_000_000},
            "update": {"spend": {"increment": 1}},
        }
        where = {"_".join(names): key}
        await db.litellm_dailyuserspend.upsert(where=where, data=data)
        row = await db.litellm_dailyuserspend.upsert(where=where, data=data)
        assert (row.spend, row.prompt_tokens) == (2, 3_000_000_000)
        membership = {"user_id": _id(), "team_id": _id()}
        budget = {"create": {"created_by": "t", "updated_by": "t", "max_budget": 7}}
        await db.litellm_teammembership.upsert(
            where={"user_id_team_id": membership},
            data={"create": {**membership, "litellm_budget_table": budget}, "update": {}},
        )
        found = await db.litellm_teammembership.find_unique(
            where={"user_id_team_id": membership}, include={"litellm_budget_table": True}
        )
        assert found.litellm_budget_table.max_budget == 7

    orm.run(scenario)


def test_group_by(orm: Orm) -> None:
    async def scenario(db: Any) -> None:
        team = await _users(db, 1, 2, 3)
        other = await _users(db, 10)
        groups = await db.litellm_usertable.group_by(
            by=["team_id"],
            where={"team_id": {"in": [team, other]}},
            sum={"spend": True},
            avg={"spend": True},
            max={"spend": True},
            count=True,
            having={"spend": {"_max": {"lt": 5}}},
            order={"team_id": "asc"},
        )
        assert len(groups) == 1
        [group] = groups
        assert (group["team_id"], group["_sum"], group["_avg"]) == (team, {"spend": 6}, {"spend": 2})
        assert (group["_max"], group["_count"]) == ({"spend": 3}, {"_all": 3})

    orm.run(scenario)


def test_times(orm: Orm) -> None:
    async def scenario(db: Any) -> None:
        request, naive = _id(), datetime(2026, 3, 29, 2, 30, 15, 123000)  # noqa: DTZ001 - as LiteLLM passes it
        await db.litellm_spendlogs.create(
            data={
                "request_id": request,
                "call_type": "t",
                "startTime": naive,
                "endTime": naive.replace(tzinfo=UTC),
            }
        )
        row = await db.litellm_spendlogs.find_unique(where={"request_id": request})
        assert row.endTime == naive.replace(tzinfo=UTC)
        assert row.startTime == row.endTime

    orm.run(scenario)


def test_errors_have_their_own_classes(orm: Orm) -> None:
    async def scenario(db: Any) -> None:
        import prisma

        errors, user = prisma.errors, _id()
        table = db.litellm_usertable
        await table.create(data={"user_id": user})
        with pytest.raises(errors.UniqueViolationError):
            await table.create(data={"user_id": user})
        with pytest.raises(errors.ForeignKeyViolationError):
            await db.litellm_teammembership.create(data={"user_id": _id(), "team_id": _id(), "budget_id": _id()})
        with pytest.raises(errors.FieldNotFoundError):
            await table.find_first(where={"no_such_field": 1})
        with pytest.raises(errors.MissingRequiredValueError):
            await table.create(data={})
        with pytest.raises(errors.RawQueryError, match="no_such_table") as caught:
            await db.query_raw("SELECT * FROM no_such_table")
        assert caught.value.meta["code"] == "42P01"
        with pytest.raises(errors.DataError):
            await table.create(data={"user_id": f"{user}\0"})

    orm.run(scenario)


def test_an_interactive_transaction_is_isolated_and_rolled_back(orm: Orm) -> None:
    async def scenario(db: Any) -> None:
        user = _id()
        with pytest.raises(ZeroDivisionError):  # noqa: PT012 - the whole block is the transaction
            async with db.tx() as tx:
                await tx.litellm_usertable.create(data={"user_id": user})
                assert await tx.litellm_usertable.count(where={"user_id": user}) == 1
                assert await db.litellm_usertable.count(where={"user_id": user}) == 0
                _ = 1 / 0
        assert await db.litellm_usertable.count(where={"user_id": user}) == 0
        async with db.tx() as tx:
            await tx.litellm_usertable.create(data={"user_id": user})
        assert await db.litellm_usertable.count(where={"user_id": user}) == 1

    orm.run(scenario)


@pytest.mark.parametrize("then", ["query", "commit"])
def test_an_expired_transaction_says_so(orm: Orm, then: str) -> None:
    async def scenario(db: Any) -> None:
        import prisma

        manager = db.tx(timeout=timedelta(milliseconds=50))
        tx = await manager.start()
        # The pause is the server's, and longer than the timeout.
        await db.query_raw("SELECT pg_sleep(0.3)")
        with pytest.raises(prisma.errors.TransactionExpiredError):
            await (tx.litellm_usertable.count() if then == "query" else manager.commit())

    orm.run(scenario)


def test_a_batch_commits_together_or_not_at_all(orm: Orm) -> None:
    async def scenario(db: Any) -> None:
        import prisma

        first, second = _id(), _id()
        async with db.batch_() as batch:
            batch.litellm_usertable.create(data={"user_id": first})
            batch.litellm_usertable.update(where={"user_id": first}, data={"spend": 3})
        assert (await db.litellm_usertable.find_unique(where={"user_id": first})).spend == 3
        with pytest.raises(prisma.errors.UniqueViolationError):  # noqa: PT012 - the end of the block sends it
            async with db.batch_() as batch:
                batch.litellm_usertable.create(data={"user_id": second})
                batch.litellm_usertable.create(data={"user_id": first})
        assert await db.litellm_usertable.count(where={"user_id": second}) == 0

    orm.run(scenario)


def test_every_model_can_be_read_and_counted(orm: Orm) -> None:
    async def scenario(db: Any) -> None:
        import litellm_proxy_extras

        schema = Path(litellm_proxy_extras.__file__).with_name("schema.prisma").read_text()
        models = re.findall(r"^model (\w+)", schema, re.MULTILINE)
        assert len(models) == 97
        for model in models:
            table = getattr(db, model.lower())
            assert len(await table.find_many(take=2)) <= await table.count(), model

    orm.run(scenario)


def test_a_json_field_named_like_an_argument(orm: Orm) -> None:
    async def scenario(db: Any) -> None:
        import prisma

        name = _id()
        made = await db.litellm_lens.create(data={"id": name, "data": prisma.Json({"jobs": ["a"]})})
        assert made.data == {"jobs": ["a"]}
        await db.litellm_lens.update(where={"id": name}, data={"data": prisma.Json("text")})
        assert (await db.litellm_lens.find_unique(where={"id": name})).data == "text"

    orm.run(scenario)
