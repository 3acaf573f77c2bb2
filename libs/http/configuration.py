"""How the server is set: uvicorn's configuration, with ours beside it."""

import uvicorn

from libs.http.connections import Connections
from libs.settings import DoorSettings


class Configuration(uvicorn.Config):
    """What all connections have in common."""

    door: DoorSettings
    callers: Connections
    is_stopping = False
