"""Why no broker can be reached: aiokafka tells the reason to its log alone.

It says `Unable to bootstrap from …` alike where nobody listens, where a certificate is unknown and
where a password is wrong.
"""

import asyncio
import ssl

from aiokafka.conn import collect_hosts, create_conn
from aiokafka.errors import KafkaError

from libs.kafka.connection import connection
from libs.settings import KafkaSettings

_TIMEOUT_MS = 5_000


async def bootstrap_error(kafka: KafkaSettings) -> Exception | None:
    """What a connection to a broker of the settings ends with; None where one can be made now.

    Of several the error of one that answered, which tells more than that another is away.
    """
    arguments = connection(kafka)
    places = collect_hosts(arguments.pop("bootstrap_servers"), randomize=False)
    found = await asyncio.gather(*(_error_of(host, port, arguments) for host, port, _ in places))
    errors = [error for error in found if error is not None]
    if len(errors) < len(found):
        return None
    return max(errors, key=lambda error: isinstance(error, KafkaError | ssl.SSLError))


async def _error_of(host: str, port: int, arguments: dict[str, object]) -> Exception | None:
    try:
        broker = await create_conn(host, port, request_timeout_ms=_TIMEOUT_MS, **arguments)
    except (OSError, KafkaError) as error:
        return error
    broker.close()
    return None
