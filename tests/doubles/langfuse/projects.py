"""Projects, their keys, and the headless seeding by LANGFUSE_INIT_* variables."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_INIT = "LANGFUSE_INIT_"
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[A-Za-z]{2,}")
_HOST_HINT = " Confirm that you've configured the correct host."


@dataclass(frozen=True)
class Project:
    """A project with one pair of keys. `organization_key`: the pair belongs to the organization, not to the project."""

    id: str = "double-project"
    name: str = "Double"
    public_key: str = "pk-lf-double"
    secret_key: str = "sk-lf-double"
    organization_id: str = "double-org"
    organization_name: str = "Double Org"
    organization_key: bool = False

    def public(self) -> dict[str, Any]:
        """The project as the API shows it."""
        organization = {"id": self.organization_id, "name": self.organization_name}
        return {"id": self.id, "name": self.name, "organization": organization, "metadata": {}}


class UnauthorizedError(Exception):
    """The request's credentials are refused with 401; the text is the server's message."""


class StartRefusedError(Exception):
    """The server would not start, or answer 500 to everything; `serves` says which."""

    def __init__(self, message: str, *, serves: bool = False) -> None:
        super().__init__(message)
        self.serves = serves


def authenticate(header: str | None, projects: Sequence[Project]) -> Project:
    """The project whose keys an Authorization header holds.

    Raises:
        UnauthorizedError: with the reason.
    """
    if not header:
        raise UnauthorizedError("No authorization header")
    scheme, _, value = header.partition(" ")
    if scheme != "Basic":
        raise UnauthorizedError("Invalid authorization header")
    try:
        public, _, secret = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        public = secret = ""
    if not public or not secret:
        raise UnauthorizedError(f"Invalid authorization header.{_HOST_HINT}")
    for project in projects:
        if (project.public_key, project.secret_key) == (public, secret):
            return project
    raise UnauthorizedError(f"Invalid credentials.{_HOST_HINT}")


def seed(variables: Mapping[str, str], known: Sequence[Project] = ()) -> tuple[Project, ...]:
    """What a start with LANGFUSE_INIT_* variables makes of the projects of its (older) database.

    Seeding only creates: an existing project keeps its names, an existing public key its secret. Only a public key
    of another project is made anew for this one. Without LANGFUSE_INIT_ORG_ID nothing is read.

    Raises:
        StartRefusedError: an e-mail, password or key of encryption that the server does not take.
    """
    if not re.fullmatch(r"([0-9a-fA-F]{64})?", variables.get("ENCRYPTION_KEY", "")):
        raise StartRefusedError("Invalid environment variables: ENCRYPTION_KEY")
    init = {name.removeprefix(_INIT): value for name, value in variables.items() if name.startswith(_INIT) and value}
    email = init.get("USER_EMAIL")
    if email and not _EMAIL.fullmatch(email):
        raise StartRefusedError(f"Invalid environment variables: {_INIT}USER_EMAIL")
    if "ORG_ID" not in init:
        return tuple(known)
    if email and len(init.get("USER_PASSWORD", "")) < 8 and "USER_PASSWORD" in init:
        raise StartRefusedError("Password needs to be at least 8 characters long.", serves=True)
    if "PROJECT_ID" not in init:
        return tuple(known)
    public, secret = init.get("PROJECT_PUBLIC_KEY"), init.get("PROJECT_SECRET_KEY")
    same = next((project for project in known if project.id == init["PROJECT_ID"]), None)
    if not public or not secret or (same and same.public_key == public):
        return tuple(known)
    made = same or Project(
        id=init["PROJECT_ID"],
        name=init.get("PROJECT_NAME", "Provisioned Project"),
        organization_id=init["ORG_ID"],
        organization_name=init.get("ORG_NAME", "Provisioned Org"),
    )
    others = [project for project in known if project.public_key != public]
    return (*others, replace(made, public_key=public, secret_key=secret))
