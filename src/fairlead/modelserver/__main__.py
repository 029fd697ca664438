"""One replica without a zygote: ``python -P -m fairlead.modelserver``, with a :class:`Fork` as JSON in its environment.

It ends when the process that started it is gone.
"""

from __future__ import annotations

import os
import threading
import time

import msgspec

from fairlead.messages import Fork
from fairlead.modelserver.server import serve

VARIABLE = "FAIRLEAD_FORK"
_LOOK_S = 0.5


def main() -> int:
    """Serve what the environment says; returns the exit code."""
    fork = msgspec.json.decode(os.environ.pop(VARIABLE), type=Fork)
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_LOOK_S)
        os._exit(1)

    threading.Thread(target=watch, name="parent", daemon=True).start()
    return serve(fork)


if __name__ == "__main__":
    os._exit(main())  # threads of a model that hangs may still run
