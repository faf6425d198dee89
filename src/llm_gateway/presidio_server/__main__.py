"""Entry point: `PYTHON .../presidio_server OPTIONS`, run by its path because the venv does not have the kit."""

from __future__ import annotations

import sys
from pathlib import Path

here = Path(__file__).resolve().parent
# Last, so that no module of the kit hides one of the venv.
sys.path[:] = [entry for entry in sys.path if entry != str(here)] + [str(here.parent)]

from presidio_server.main import main  # noqa: E402

if __name__ == "__main__":
    main()
