"""Raw queries: every kind of parameter and result that LiteLLM uses, compared with what was sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from support.prisma import Orm

pytestmark = pytest.mark.needs("node", "postgres")

_BIG = 2**53 + 1
_TEXT = "quote ' \" back \\ tab \t line \n \u2028 \U0001f600 \x01"


@pytest.mark.parametrize(
    ("query", "parameters", "expected"),
    [
        ("SELECT array_agg(x ORDER BY x) AS v FROM unnest($1::text[]) x", [["b", "a"]], ["a", "b"]),
        ("SELECT 2 = any($1) AS v", [[1, 2]], True),
        ("SELECT $1::text[] AS v", [[]], []),
        ("SELECT $1::float8[] AS v", [[0.5, 2]], [0.5, 2]),
        ("SELECT $1::int8[] AS v", [[_BIG]], [_BIG]),
        ("SELECT $1::bigint AS v", [_BIG], _BIG),
        ("SELECT ($1::jsonb)->>'a' AS v", ['{"a": "x"}'], "x"),
        ("SELECT ($1::jsonb[])[2] AS v", [['{"a": 1}', '{"a": 2}']], {"a": 2}),
        ("SELECT $1::timestamptz AS v", ["2026-11-21T10:00:00.5+02:00"], "2026-11-21T08:00:00.500+00:00"),
        ("SELECT $1::timestamp AS v", ["2026-11-21T10:00:00"], "2026-11-21T10:00:00+00:00"),
        ("SELECT $1::date AS v", ["2026-11-21"], "2026-11-21"),
        ("SELECT count(*) AS v FROM (SELECT generate_series(1, 9) LIMIT $1 OFFSET $2) x", [5, 6], 3),
        ("SELECT $1 * interval '1 day' AS v", [2], "2 days"),
        ("SELECT $1::bool AS v", [False], False),
        ("SELECT $1::text AS v", [None], None),
        ("SELECT $1 + 0.5 AS v", [2], 2.5),
        ("SELECT $1::text AS v", [_TEXT], _TEXT),
        ("SELECT sum(x) AS v FROM unnest($1::numeric[]) x", [[1, 2]], 3),
        ("SELECT avg(x)::float8 AS v FROM unnest($1::int[]) x", [[1, 2]], 1.5),
        ("SELECT pg_notify('channel', $1) AS v", ["hello"], ""),
        ("SELECT array_agg(viewname) IS NULL AS v FROM pg_views WHERE viewname = $1", ["none"], True),
        ("SELECT array_agg(viewname) AS v FROM pg_views WHERE viewname = $1", ["pg_views"], ["pg_views"]),
        ("SELECT 'a'::name AS v", [], "a"),
        ("SELECT interval '3 hours' AS v", [], "03:00:00"),
        ("SELECT '\\x00ff'::bytea AS v", [], "AP8="),
        ("SELECT '{\"a\": [1, null]}'::jsonb AS v", [], {"a": [1, None]}),
        ("SELECT 'pg_class'::regclass AS v", [], "pg_class"),
        (
            "SELECT '0f0e0d0c-0b0a-0908-0706-050403020100'::uuid AS v",
            [],
            "0f0e0d0c-0b0a-0908-0706-050403020100",
        ),
        ("SELECT '12:30'::time AS v", [], "12:30:00"),
        ("SELECT 1.5::real AS v", [], 1.5),
        ("SELECT '1/2'::pg_lsn AS v", [], "1/2"),
        ("SELECT to_tsvector('simple', 'word') AS v", [], "'word':1"),
    ],
)
def test_query_raw(orm: Orm, query: str, parameters: list[Any], expected: Any) -> None:
    async def scenario(db: Any) -> None:
        [row] = await db.query_raw(query, *parameters)
        assert row["v"] == expected

    orm.run(scenario)


def test_query_first_and_models(orm: Orm) -> None:
    async def scenario(db: Any) -> None:
        import prisma

        assert await db.query_first("SELECT 1 AS v WHERE false") is None
        await db.litellm_usertable.create(data={"user_id": "raw", "metadata": prisma.Json({"a": 1})})
        model = prisma.models.LiteLLM_UserTable
        row = await db.query_first('SELECT * FROM "LiteLLM_UserTable" WHERE user_id = $1', "raw", model=model)
        assert (row.user_id, row.metadata, row.created_at.utcoffset().total_seconds()) == ("raw", {"a": 1}, 0)

    orm.run(scenario)


def test_execute_raw_counts_rows(orm: Orm) -> None:
    async def scenario(db: Any) -> None:
        insert = (
            'INSERT INTO "LiteLLM_UserTable" (user_id, metadata) VALUES ($1, $2::jsonb) '
            "ON CONFLICT (user_id) DO UPDATE SET metadata = excluded.metadata"
        )
        assert await db.execute_raw(insert, "executed", '{"a": "b"}') == 1
        assert await db.execute_raw(insert, "executed", '{"a": "c"}') == 1
        found = await db.litellm_usertable.find_unique(where={"user_id": "executed"})
        assert found.metadata == {"a": "c"}
        assert await db.execute_raw('DELETE FROM "LiteLLM_UserTable" WHERE user_id = $1', "nobody") == 0

    orm.run(scenario)
