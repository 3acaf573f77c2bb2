"""A container's health check: exit code 0 when the service in it answers that it lives.

An image asks no more, as there are platforms that restart what is unhealthy, and a restart would
not bring a server back. Compose restarts nothing for it, and waits: it asks for `ready`, too.
It runs every few seconds, without our packages: standard library only.
"""

import http.client
import os
import sys

# The defaults of the settings classes; a test compares. `admin` is no server.
PORTS = {"ingest": 8081, "processor": 8082, "query": 8080}
# For both questions; what asks gives up after five.
_TIMEOUT_S = 2.0
# Of an answer, which names each check: `docker inspect` tells why a container is unhealthy.
_SHOWN_BYTES = 1000


def main(words: list[str]) -> int:
    """Ask the service that SERVICE names whether it lives; with the word `ready`, that as well."""
    service = os.environ.get("SERVICE", "")
    if service not in PORTS:
        return 0
    port = int(os.environ.get("RAGTIME_HTTP__PORT") or PORTS[service])
    return 0 if all(_is_well(port, question) for question in ("live", *words)) else 1


def _is_well(port: int, question: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", f"/healthz/{question}")
        response = connection.getresponse()
        text = response.read(_SHOWN_BYTES).decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        sys.stdout.write(f"no answer on port {port}: {error}\n")
        return False
    finally:
        connection.close()
    sys.stdout.write(f"/healthz/{question} answers {response.status} {text}\n")
    return response.status == 200


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
