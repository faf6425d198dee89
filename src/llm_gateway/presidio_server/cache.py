"""Answers to requests that came before.

A chat sends its whole history with every turn, and LiteLLM has each message analyzed again, one after the other: all
but the newest are known.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections import OrderedDict

_ENTRIES = 4096
_LARGEST = 4096  # bytes of an answer; together at most 16 MB, seldom more than 1


class AnswerCache:
    """The answers to the latest requests, without the requests: only a keyed digest of each is kept."""

    def __init__(self) -> None:
        self._key = os.urandom(32)
        self._answers: OrderedDict[bytes, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def _digest(self, request: bytes) -> bytes:
        return hashlib.blake2b(request, key=self._key, digest_size=24).digest()

    def get(self, request: bytes) -> bytes | None:
        """The answer to exactly this request body, if it is remembered."""
        digest = self._digest(request)
        with self._lock:
            answer = self._answers.get(digest)
            if answer is not None:
                self._answers.move_to_end(digest)
            return answer

    def put(self, request: bytes, answer: bytes) -> None:
        """Remember a good answer; the one unused for longest goes."""
        if len(answer) > _LARGEST:
            return
        with self._lock:
            self._answers[self._digest(request)] = answer
            if len(self._answers) > _ENTRIES:
                self._answers.popitem(last=False)
