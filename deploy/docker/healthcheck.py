"""A container's health check: exit code 0 when the service in it answers that it lives.

It runs every few seconds, without our packages: standard library only.
"""

import http.client
import os
import sys

# The defaults of the settings classes; a test compares. `admin` is no server.
PORTS = {"ingest": 8081, "processor": 8082, "query": 8080}
_TIMEOUT_S = 4.0


def main() -> int:
    """Ask /healthz/live of the service that SERVICE names."""
    service = os.environ.get("SERVICE", "")
    if service not in PORTS:
        return 0
    port = int(os.environ.get("RAGTIME_HTTP__PORT") or PORTS[service])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", "/healthz/live")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        sys.stdout.write(f"no answer on port {port}: {error}\n")
        return 1
    finally:
        connection.close()
    sys.stdout.write(f"/healthz/live answers {status}\n")
    return 0 if status == 200 else 1


if __name__ == "__main__":
    sys.exit(main())
