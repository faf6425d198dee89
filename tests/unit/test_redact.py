"""Credentials never reach a log or a message."""

import pytest

from llm_gateway.bootstrap.redact import redact, secrets_of


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Looking in https://bob:s3cret@nexus/simple", "Looking in https://***@nexus/simple"),
        ("https://tok3n@host:8443/x and https://a:b@c", "https://***@host:8443/x and https://***@c"),
        ("http://u:p@ss@host/", "http://***@host/"),
        ("Proxy-Authorization: Basic YWxhZGRpbg==", "Proxy-Authorization: Basic ***"),
        ("authorization: bearer abc.def", "authorization: bearer ***"),
        ("//npm.example/:_authToken=npm_abc", "//npm.example/:_authToken=***"),
        ("GET /simple?token=abc&x=1", "GET /simple?token=***&x=1"),
        ("mail me at bob@example.org", "mail me at bob@example.org"),
        ("https://host/path@2x.png", "https://host/path@2x.png"),
    ],
)
def test_patterns(text: str, expected: str) -> None:
    assert redact(text) == expected


def test_a_password_on_its_own_is_hidden_in_both_spellings() -> None:
    secrets = secrets_of(["https://bob:s3%40cret@nexus/simple https://plain/"])
    assert redact("wrong: s3@cret (sent s3%40cret)", secrets) == "wrong: *** (sent ***)"


def test_a_lone_token_counts_as_the_secret_and_a_user_name_beside_a_password_does_not() -> None:
    assert secrets_of(["https://ghp_token@host/"]) == ("ghp_token",)
    assert "developer" not in secrets_of(["https://developer:hunter22@host/"])


def test_short_words_are_not_searched_for() -> None:
    assert secrets_of(["https://bob:x@host/"]) == ()
