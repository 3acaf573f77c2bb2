"""`python -m deploy.local up|down|clean|logs|demo|status`; `make` calls it."""

import os
import signal
import sys
from importlib import import_module
from types import FrameType
from typing import NoReturn

from deploy.local.layout import StackError, layout

# Imported when asked for: `down` and `clean` work where nothing is installed.
_VERBS = {
    "up": ("deploy.local.up", "up"),
    "down": ("deploy.local.down", "down"),
    "clean": ("deploy.local.down", "clean"),
    "logs": ("deploy.local.follow", "follow"),
    "demo": ("deploy.local.demo", "send_demo"),
    "status": ("deploy.local.status", "show_status"),
}


def main() -> int:
    """Run one verb; a StackError is told in plain words."""
    if len(sys.argv) != 2 or sys.argv[1] not in _VERBS:
        print(f"usage: python -m deploy.local {'|'.join(_VERBS)}", file=sys.stderr)
        return 2
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)  # so that what was started is stopped
    module, function = _VERBS[sys.argv[1]]
    try:
        getattr(import_module(module), function)(layout())
        sys.stdout.flush()
    except BrokenPipeError:  # as of `make status | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the end flushes once more
        return 1
    except PermissionError as error:
        print(f"make {sys.argv[1]}: {error.strerror}: {error.filename}", file=sys.stderr)
        return 1
    except StackError as error:
        print(f"make {sys.argv[1]}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
