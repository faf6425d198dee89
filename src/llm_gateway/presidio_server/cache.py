"""Answers to requests that came before.

A chat sends its whole history with every turn, and LiteLLM has each message analyzed again, one after the other: all
but the newest are known.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections import OrderedDict

_BYTES = 8 * 1024 * 1024  # of answers; one takes 100 for each thing found
_OVERHEAD = 200  # what remembering costs besides


class AnswerCache:
    """The answers to the latest requests, without the requests: only a keyed digest of each is kept."""

    def __init__(self) -> None:
        self._key = os.urandom(32)
        self._answers: OrderedDict[bytes, bytes] = OrderedDict()
        self._bytes = 0
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
        """Remember a good answer; those unused for longest go."""
        digest = self._digest(request)
        with self._lock:
            if digest not in self._answers:
                self._answers[digest] = answer
                self._bytes += len(answer) + _OVERHEAD
            while self._bytes > _BYTES:
                _, gone = self._answers.popitem(last=False)
                self._bytes -= len(gone) + _OVERHEAD
