"""The fixture that all database tests stand on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

if TYPE_CHECKING:
    from support.postgres import Cluster

pytestmark = pytest.mark.needs("postgres")


def test_a_fresh_database_answers_and_is_empty(database: str) -> None:
    with psycopg.connect(database) as connection:
        count = connection.execute("select count(*) from pg_tables where schemaname = 'public'").fetchone()
    assert count == (0,)


def test_names_with_special_characters_survive_the_url(postgres: Cluster) -> None:
    with postgres.connect() as connection:
        connection.execute("""CREATE ROLE "o'x @/" LOGIN PASSWORD 'p%:@/ ü'""")
        with psycopg.connect(postgres.url(user="o'x @/", password="p%:@/ ü")) as other:
            assert other.execute("select current_user").fetchone() == ("o'x @/",)
        connection.execute("""DROP ROLE "o'x @/" """)
