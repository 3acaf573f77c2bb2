"""The store of the rate limits: that it answers, as the services ask it."""

from valkey.exceptions import ValkeyError

from libs.access.shared_windows import store_client
from services.admin.doctor.findings import Finding, fail, ok
from services.admin.doctor.installation import Installation


async def store(installation: Installation) -> Finding:
    """Replicas share their limits."""
    settings = installation.settings.rate_limit
    if settings.store_url is None:
        return ok("none is set: each process counts its limits by itself")
    client = store_client(settings.store_url.get_secret_value(), settings.tls_files)
    try:
        await client.ping()
        server = await client.info("server")
    except (ValkeyError, OSError, TimeoutError) as error:
        return fail(
            f"no answer ({type(error).__name__})",
            "an answer: without it each process counts its limits by itself",
            "Start it, or mend RAGTIME_RATE_LIMIT__STORE_URL: host, password, certificate.",
        )
    finally:
        await client.aclose()
    name = "Valkey" if "valkey_version" in server else "Redis"
    return ok(f"{name} {server.get('valkey_version') or server.get('redis_version', 'unknown')}")
