"""Dead letters: how many there are, and whether new ones arrive."""

import time

from aiokafka import TopicPartition

from services.admin.doctor.findings import Finding, ok, warn
from services.admin.doctor.installation import Installation
from services.admin.running import printable
from services.admin.topics import first_record, offsets_of, partition_numbers, reading
from services.admin.words import age


async def dead_letters(installation: Installation) -> Finding:
    """No line was diverted lately."""
    settings = installation.settings
    # Says why where nobody answers, or where the topic may not be seen: a consumer waits for it.
    await partition_numbers(await installation.kafka(), settings.kafka.dead_letter_topic)
    async with reading(settings.kafka) as consumer:
        one = TopicPartition(settings.kafka.dead_letter_topic, 0)
        offsets = await offsets_of(consumer, one)
        if not offsets:
            return ok("none")
        record = await first_record(consumer, one, offsets[-1])
    newest_s, reason = time.time(), "unknown"
    if record is not None:
        newest_s = record.timestamp / 1000
        reason = printable(dict(record.headers).get("reason", b"unknown").decode(errors="replace"))
    ago_s = max(0.0, time.time() - newest_s)
    seen = f"{len(offsets)}, the newest ({reason}) {age(ago_s)} ago"
    hours = settings.doctor.dead_letter_hours
    if ago_s > hours * 3600:
        return ok(seen)
    return warn(
        seen,
        f"none within {hours} hours",
        "Look at `ragtime dead-letters list`, mend what writes them, then `ragtime dead-letters"
        " replay`.",
    )
