"""Serve the double in a process of its own: `python -m doubles.langfuse`, with `tests` on the path.

It reads LANGFUSE_INIT_* as the real server does, prints one line of JSON with its URL, and ends when its input does.
"""

from __future__ import annotations

import json
import os
import sys

from doubles.langfuse.projects import StartRefusedError, seed
from doubles.langfuse.server import Langfuse
from doubles.server import running


def main() -> int:
    try:
        double = Langfuse(projects=seed(os.environ))
    except StartRefusedError as refused:
        sys.stderr.write(f"{refused}\n")
        if not refused.serves:
            return 1
        double = Langfuse(projects=(), broken=True)
    with running(double):
        sys.stdout.write(json.dumps({"url": double.url}) + "\n")
        sys.stdout.flush()
        sys.stdin.read()
    return 0


if __name__ == "__main__":
    sys.exit(main())
