"""One side of `tests.bench.against`: a round of ingest for each line of input, as a line of JSON.

It runs with the modules of the checkout that it measures, which may be an older one: what it takes
from there is what has been there from the start.
"""

import json
import sys

from tests.bench.parts import ingest

_KINDS = {"1": 64, "500": 8}  # events a request, and clients
_SECONDS = 1.5


def main() -> None:
    """Warm up, then run rounds until the input ends."""
    with ingest._both() as (ours, bare, project):

        def tell_round() -> None:
            figures = {
                a_request: ingest._round(
                    ours,
                    bare,
                    project,
                    a_request=int(a_request),
                    clients=clients,
                    seconds=_SECONDS,
                )
                for a_request, clients in _KINDS.items()
            }
            sys.stdout.write(f"{json.dumps(figures)}\n")
            sys.stdout.flush()

        tell_round()
        for _ in sys.stdin:
            tell_round()


if __name__ == "__main__":
    main()
