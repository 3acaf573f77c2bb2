"""How the server is set: uvicorn's configuration, with ours beside it."""

import uvicorn

from libs.http.accepting import Acceptor
from libs.http.connections import Connections
from libs.http.cors import Origins
from libs.settings import DoorSettings


class Configuration(uvicorn.Config):
    """What all connections have in common."""

    door: DoorSettings
    acceptor: Acceptor
    callers: Connections
    origins: Origins
    is_stopping = False
