"""What a Langfuse of the kit's own is started with, and what is refused before `.env` is written."""

import pytest

from doubles.langfuse import StartRefusedError, seed
from llm_gateway import credentials
from llm_gateway.choices import resolve
from llm_gateway.dotenv import Environment
from llm_gateway.errors import InputError
from llm_gateway.paths import Home
from llm_gateway.services import langfuse, langfuse_init
from llm_gateway.services.base import Draft, Placement
from llm_gateway.verbs.context import catalogue
from unit.test_plan import MACHINE, Path, made

DRAWN = {secret.variable: secret.make() for secret in langfuse_init.SECRETS}
DEFAULTS = {secret.variable: secret.default or secret.make() for secret in langfuse_init.SECRETS}
HAND_MADE = {"LANGFUSE_PUBLIC_KEY": "pk-lf-mine", "LANGFUSE_SECRET_KEY": "sk-lf-mine"}


def draft(*, defaults=False, process=None, file=None, rendered=(), where="docker"):
    environment = Environment(process=process or {}, file=file or {})
    return Draft(
        Home(Path("/home/someone/gateway")),
        resolve(catalogue(), flags={"start_with_defaults": defaults}, environ={}, saved={}),
        environment,
        MACHINE,
        secrets=DEFAULTS if defaults else DRAWN,
        placements={"langfuse": Placement(where, "")},
        rendered=lambda name: not environment.get(name) or name in rendered,
    )


def rendered(**given):
    return {line.name: line.value for line in langfuse.environment(draft(**given))}


def test_the_first_start_makes_the_keys_that_the_gateway_has():
    values = rendered()
    container = langfuse_init.container(values)
    (project,) = seed(container)
    keys = (values["LANGFUSE_PUBLIC_KEY"], values["LANGFUSE_SECRET_KEY"])
    assert (project.id, project.public_key, project.secret_key) == ("llm-gateway-project", *keys)
    assert len(container["ENCRYPTION_KEY"]) == 64
    assert container["NEXTAUTH_URL"] == "http://localhost:3000"
    assert (container["TELEMETRY_ENABLED"], container["AUTH_DISABLE_SIGNUP"]) == ("false", "true")
    assert container["NEXTAUTH_SECRET"]
    assert container["SALT"]
    assert not {"LANGFUSE_SALT", "LANGFUSE_HOST", "LANGFUSE_SECRET_KEY"} & container.keys()
    assert set("".join(DRAWN.values())) <= set("0123456789abcdefpk-lsf")


def test_the_documented_defaults_are_those_of_seed_004():
    values = rendered(defaults=True)
    assert values["LANGFUSE_INIT_USER_EMAIL"] == "admin@dep.com"
    assert values["LANGFUSE_INIT_USER_PASSWORD"] == "password"
    assert values["LANGFUSE_PUBLIC_KEY"] == credentials.LANGFUSE_PUBLIC_KEY
    assert values["LANGFUSE_INIT_PROJECT_SECRET_KEY"] == credentials.LANGFUSE_SECRET_KEY
    assert seed(langfuse_init.container(values))
    # Typed by hand as the document prints them, they are still these.
    typed = {
        "LANGFUSE_PUBLIC_KEY": credentials.LANGFUSE_PUBLIC_KEY,
        "LANGFUSE_SECRET_KEY": credentials.LANGFUSE_SECRET_KEY,
    }
    assert rendered(defaults=True, file=typed) == values | {
        name: value for name, value in rendered(defaults=True, file=typed).items() if name not in DEFAULTS
    }


def test_without_docker_nothing_of_it_is_rendered():
    for where in ("off", "unavailable", "external"):
        assert sorted(rendered(where=where)) == ["LANGFUSE_HOST", "LANGFUSE_PUBLIC_KEY", "LANGFUSE_SECRET_KEY"]
    assert not any(line.name.startswith("LANGFUSE_INIT") for line in made().lines["langfuse"])


def test_hand_made_keys_win_and_are_not_taken_away_from_their_project():
    values = rendered(file=HAND_MADE)
    assert {name: values[name] for name in HAND_MADE} == HAND_MADE
    # A person made this project and its keys in Langfuse before; then the kit's start seeds its own.
    theirs = seed(
        {
            "LANGFUSE_INIT_ORG_ID": "o",
            "LANGFUSE_INIT_PROJECT_ID": "mine",
            "LANGFUSE_INIT_PROJECT_PUBLIC_KEY": "pk-lf-mine",
            "LANGFUSE_INIT_PROJECT_SECRET_KEY": "sk-lf-mine",
        }
    )
    after = seed(langfuse_init.container(values), theirs)
    assert [project.id for project in after if project.public_key == "pk-lf-mine"] == ["mine"]
    # What the kit rendered itself is no person's.
    again = rendered(file=HAND_MADE, rendered=tuple(HAND_MADE))
    assert again["LANGFUSE_INIT_PROJECT_PUBLIC_KEY"] == "pk-lf-mine"


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"LANGFUSE_INIT_USER_PASSWORD": "short12"}, "E370"),
        ({"LANGFUSE_INIT_USER_EMAIL": "admin@localhost"}, "E371"),
        ({"LANGFUSE_INIT_USER_EMAIL": "admin"}, "E371"),
        ({"LANGFUSE_INIT_USER_EMAIL": ".admin@dep.com"}, "E371"),
        ({"LANGFUSE_INIT_USER_EMAIL": "a..b@dep.com"}, "E371"),
        ({"LANGFUSE_INIT_USER_EMAIL": "a b@dep.com"}, "E371"),
        ({"LANGFUSE_INIT_USER_EMAIL": "admin@dep.c"}, "E371"),
        ({"LANGFUSE_INIT_USER_EMAIL": "admin@127.0.0.1"}, "E371"),
        ({"LANGFUSE_PUBLIC_KEY": "pk-lf-mine"}, "E373"),
        ({"LANGFUSE_SECRET_KEY": "sk-lf-mine"}, "E373"),
        ({"LANGFUSE_ENCRYPTION_KEY": "ab" * 31}, "E375"),
        ({"LANGFUSE_ENCRYPTION_KEY": "xy" * 32}, "E375"),
        ({"LANGFUSE_NEXTAUTH_URL": "localhost:3000"}, "E376"),
        ({"LANGFUSE_PROMPT_CACHE_DEFAULT_TTL_SECONDS": "1m"}, "E378"),
        ({"LANGFUSE_TIMEOUT": "soon"}, "E378"),
    ],
)
@pytest.mark.parametrize("source", ["file", "process"])
def test_what_the_server_would_not_start_with_is_refused(given, code, source):
    with pytest.raises(InputError) as refused:
        rendered(**{source: given})
    problem = refused.value.problem
    assert problem.code == code
    assert all(name in problem.message + problem.next for name in given)
    assert "sk-lf-mine" not in str(problem)
    assert "short12" not in str(problem)


@pytest.mark.parametrize("where", ["external", "docker"])
def test_numbers_of_the_gateways_side_are_looked_at_for_every_server(where):
    good = {"LANGFUSE_PROMPT_CACHE_DEFAULT_TTL_SECONDS": "60", "LANGFUSE_TIMEOUT": "2.5"}
    assert rendered(where=where, file=good)
    with pytest.raises(InputError, match="E378"):
        rendered(where=where, file={**good, "LANGFUSE_TIMEOUT": "soon"})


@pytest.mark.parametrize("email", ["admin@dep.com", "a.b+c@x-y.example.org", "Admin@DEP.COM", "o'neil@example.museum"])
def test_addresses_that_langfuse_takes(email):
    assert rendered(file={"LANGFUSE_INIT_USER_EMAIL": email})


@pytest.mark.parametrize(
    ("missing", "code"),
    [
        ("LANGFUSE_INIT_ORG_ID", "E374"),
        ("LANGFUSE_INIT_PROJECT_ID", "E374"),
        ("LANGFUSE_INIT_USER_PASSWORD", "E372"),
        ("LANGFUSE_INIT_PROJECT_SECRET_KEY", "E373"),
        ("LANGFUSE_SALT", "E377"),
        ("LANGFUSE_NEXTAUTH_SECRET", "E377"),
        ("LANGFUSE_ENCRYPTION_KEY", "E375"),
    ],
)
def test_what_must_not_be_missing(missing, code):
    with pytest.raises(InputError) as refused:
        langfuse_init.validate({**rendered(), missing: ""})
    assert refused.value.problem.code == code


def test_the_double_refuses_the_same():
    container = langfuse_init.container(rendered())
    for name, value in (("USER_EMAIL", "admin@localhost"), ("USER_PASSWORD", "short12")):
        with pytest.raises(StartRefusedError):
            seed({**container, f"LANGFUSE_INIT_{name}": value})
    with pytest.raises(StartRefusedError):
        seed({**container, "ENCRYPTION_KEY": "ab"})
    assert seed({**container, "LANGFUSE_INIT_ORG_ID": ""}) == ()


def test_a_codespace_has_its_own_address():
    codespace = {"CODESPACE_NAME": "fluffy", "GITHUB_CODESPACES_PORT_FORWARDING_DOMAIN": "app.github.dev"}
    assert rendered(process=codespace)["LANGFUSE_NEXTAUTH_URL"] == "https://fluffy-3000.app.github.dev"
