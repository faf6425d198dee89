"""The bench: what a proof works with. Everything that it makes in the gateway it removes again."""

from __future__ import annotations

import secrets
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import httpx

from llm_gateway.engines.supervisor import Supervisor
from llm_gateway.errors import DeadlineError
from llm_gateway.names import INTERNAL, PROBE, VERIFY
from llm_gateway.probes import Deadline, wait
from llm_gateway.proofs import catalogue
from llm_gateway.seeding import litellm
from llm_gateway.seeding.api import AdminApi
from llm_gateway.services import gateway, probe_model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from llm_gateway.proofs.base import NotProven
    from llm_gateway.proofs.capture import Capture
    from llm_gateway.proofs.catalogue import Model
    from llm_gateway.services.base import Stack

Value = TypeVar("Value")
_KEY_LIFE = "2h"  # a verify that is killed leaves keys that end by themselves
_RESTART_SECONDS = 120
_WORDS = (
    *("anchor", "apple", "basket", "blanket", "blue", "bottle", "bread", "button", "cactus", "candle", "carpet"),
    *("chair", "cloud", "dinner", "engine", "feather", "field", "garden", "grass", "green", "hammer", "house"),
    *("ladder", "lemon", "light", "mirror", "music", "orange", "paper", "pencil", "pepper", "pillow", "river"),
    *("rocket", "saddle", "spoon", "stone", "sugar", "table", "ticket", "train", "tunnel", "wallet", "water"),
    *("window", "yellow"),
)
_PAUSE = 0.1  # seconds between two looks


class Bench:
    """A running gateway with a probe behind it; proofs use it from several threads at once.

    Attributes:
        stack: the running stack.
        config: the effective config.
        capture: what reached the probe model's upstream.
        admin: the gateway's admin API.
        deep: are proofs that take minutes wanted?
        models: the models that a person named; empty: one of each mode.
    """

    def __init__(
        self,
        stack: Stack,
        config: Mapping[str, Any],
        capture: Capture,
        admin: AdminApi,
        *,
        deep: bool,
        models: tuple[str, ...] = (),
    ) -> None:
        self.stack, self.config, self.capture, self.admin = stack, config, capture, admin
        self.deep, self.models = deep, models
        self._keys: list[str] = []
        self._lock = threading.Lock()
        self._common = ""
        self._catalogue: tuple[Model, ...] | None = None

    @property
    def has_probe(self) -> bool:
        """Is the probe model in the config?"""
        return probe_model.is_in(self.config)

    @property
    def has_keys(self) -> bool:
        """Are there virtual keys? Not without a database."""
        return self.stack.runs("postgres")

    def key(self, **limits: Any) -> str:
        """A virtual key of its own, removed afterwards; without a database the master key, the only one there is.

        Args:
            limits: fields of /key/generate, as `max_budget=0.001` or `models=["llm-gateway-probe"]`.

        Raises:
            GatewayError: E601, E602.
        """
        if not self.has_keys:
            return gateway.master_key(self.stack)
        body = {
            "key_alias": f"{VERIFY}-{self.nonce()}",
            "team_id": INTERNAL,
            "user_id": INTERNAL,
            "duration": _KEY_LIFE,
            "metadata": litellm.MANAGED,
            **limits,
        }
        made = str(self.admin.send("POST", "/key/generate", json=body)["key"])
        with self._lock:
            self._keys.append(made)
        return made

    def revoke(self, key: str) -> None:
        """Remove a key before the end. Errors as `key`."""
        self.admin.send("POST", "/key/delete", json={"keys": [key]})
        with self._lock:
            self._keys.remove(key)

    def catalogue(self) -> tuple[Model, ...]:
        """The gateway's models, without the probe. Errors as `key`."""
        with self._lock:
            if self._catalogue is None:
                self._catalogue = catalogue.read(self.admin.send("GET", "/v1/model/info")["data"])
            return self._catalogue

    @property
    def common_key(self) -> str:
        """The key of calls that need none of their own."""
        with self._lock:
            known = self._common
        if known:
            return known
        made = self.key()
        with self._lock:
            self._common = self._common or made
        return made

    @contextmanager
    def client(self, key: str = "") -> Iterator[httpx.Client]:
        """A client at the gateway, past every proxy. A new one is a new connection, so maybe another worker."""
        headers = {"Authorization": f"Bearer {key or self.common_key}"}
        with httpx.Client(
            base_url=gateway.local_url(self.stack), headers=headers, timeout=60, trust_env=False
        ) as client:
            yield client

    def post(self, path: str, body: Mapping[str, Any], *, key: str = "") -> httpx.Response:
        """One call on a connection of its own; its customer is the kit's, unless the body names another."""
        with self.client(key) as client:
            return client.post(path, json={"user": INTERNAL, **body})

    def chat(self, prompt: str, *, key: str = "", model: str = PROBE, **body: Any) -> httpx.Response:
        """One chat completion that no cache answers and none keeps, unless `body` says otherwise."""
        fresh = {"cache": {"no-cache": True, "no-store": True}}
        messages = [{"role": "user", "content": prompt}]
        return self.post("/v1/chat/completions", {"model": model, "messages": messages, **fresh, **body}, key=key)

    @staticmethod
    def nonce() -> str:
        """A word that no other call has.

        Presidio took one in twenty words of letters and digits for a name or a licence and masked it; of 2,000 such
        as these, one.
        """
        return "-".join(secrets.choice(_WORDS) for _ in range(4))

    def until(self, look: Callable[[], Value], *, seconds: float, otherwise: Callable[[], NotProven]) -> Value:
        """Look until there is something to see.

        Args:
            look: gives a true value when it is there.
            seconds: how long to look.
            otherwise: what to raise when it never came.
        """
        deadline = Deadline(seconds)
        while True:
            value = look()
            if value:
                return value
            if deadline.passed:
                raise otherwise()
            time.sleep(min(_PAUSE, deadline.left))

    def restart_gateway(self) -> None:
        """Stop the gateway's process, start it again, and wait until it is ready.

        Raises:
            DeadlineError: E703, it is not ready within two minutes.
        """
        supervisor = Supervisor(self.stack.home)
        supervisor.stop("gateway")
        supervisor.start("gateway")
        reason = wait(gateway.probe(self.stack), Deadline(_RESTART_SECONDS))
        if reason:
            raise DeadlineError(
                "E703",
                f"The gateway did not come back within {_RESTART_SECONDS} s: {reason}.",
                cause="See the end of its log.",
                next="llm-gateway logs gateway",
            )

    def close(self) -> None:
        """Remove every key that was made."""
        with self._lock:
            keys, self._keys, self._common = self._keys, [], ""
        if keys:
            # 404: with a user its keys are gone, too.
            self.admin.find("POST", "/key/delete", not_there=(404,), json={"keys": keys})


@contextmanager
def opened(
    stack: Stack, config: Mapping[str, Any], capture: Capture, *, deep: bool, models: tuple[str, ...] = ()
) -> Iterator[Bench]:
    """A bench, with the kit's own team, user and customer in place; cleaned up in the end.

    Raises:
        GatewayError: E601, E602, the gateway cannot be used at all.
    """
    with AdminApi(gateway.local_url(stack), gateway.master_key(stack)) as admin:
        bench = Bench(stack, config, capture, admin, deep=deep, models=models)
        if bench.has_keys:
            litellm.apply(admin, litellm.internal())
            _remove_leftovers(admin)
        try:
            yield bench
        finally:
            bench.close()


def _remove_leftovers(admin: AdminApi) -> None:
    """Keys of a verify that was killed. One at a time verifies in a home, so nobody uses them."""
    query = {"team_id": INTERNAL, "return_full_object": "true", "size": "100"}
    listed = admin.send("GET", "/key/list", params=query).get("keys") or []
    left = [key["token"] for key in listed if str(key.get("key_alias")).startswith(VERIFY)]
    if left:
        admin.send("POST", "/key/delete", json={"keys": left})
