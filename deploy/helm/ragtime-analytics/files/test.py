"""What `helm test` runs: the services that are named answer and are ready, and nothing is broken.

Runs in the image of `ragtime`, by `python -c`. Standard library only; warnings of the doctor are
shown and fail nothing.
"""

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request

READY_WITHIN_S = 60
DOCTOR = [sys.executable, "-m", "services.admin", "doctor"]


def answer(url: str) -> tuple[int, str]:
    """The status of an answer and its text; 0 and why, where there is none."""
    # No proxy of the environment stands between services of one release.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=5) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(errors="replace")
    except (OSError, ValueError) as error:
        return 0, str(error)


def is_ready(service: str, deadline: float) -> bool:
    """Whether a service is ready in time; tells what it said last."""
    while True:
        status, text = answer(f"{service}/healthz/ready")
        if status == 200 or time.monotonic() > deadline:
            print(f"{service}/healthz/ready: {status or 'no answer'} {text.strip()}", flush=True)
            return status == 200
        time.sleep(1)


def serves_its_api(service: str) -> bool:
    """Whether it is one of ours that answers: it describes its operations."""
    status, text = answer(f"{service}/openapi.json")
    try:
        paths = sorted(json.loads(text)["paths"]) if status == 200 else []
    except (ValueError, KeyError, TypeError):
        paths = []
    print(f"{service}/openapi.json: {', '.join(paths) or f'{status}, no API'}", flush=True)
    return bool(paths)


def main() -> int:
    """Ask each service, then the doctor."""
    deadline = time.monotonic() + READY_WITHIN_S
    good = [is_ready(one, deadline) and serves_its_api(one) for one in sys.argv[1:]]
    # 1 is a warning, 2 a failure.
    doctor = subprocess.run(DOCTOR, check=False).returncode
    return 0 if all(good) and doctor in {0, 1} else 1


if __name__ == "__main__":
    sys.exit(main())
