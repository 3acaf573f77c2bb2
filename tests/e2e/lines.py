"""Lines of the topic as ingest writes them, and what others may make of them."""

import json
from datetime import UTC, datetime
from typing import Any

NOW = datetime.now(UTC)


def line(project_id: str, event_id: str, /, **fields: Any) -> bytes:
    """A message as a line; what is given replaces a field, and `...` takes it away."""
    event = {
        "type": "chat.message",
        "project_id": project_id,
        "is_live": True,
        "id": event_id,
        "occurred_at": NOW.isoformat(),
        "accepted_at": NOW.isoformat(),
        "session_id": "s-1",
        "conversation_id": "c-1",
        "role": "user",
    } | fields
    present = {name: value for name, value in event.items() if value is not ...}
    return json.dumps(present, ensure_ascii=False).encode()
