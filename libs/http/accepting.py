"""New connections: some in each turn of the event loop.

libuv takes one of a listener's queue in each turn. Who connects behind four hundred others would
wait for four hundred turns, each as long as those make it who were taken already.
"""

import asyncio
import socket
from collections.abc import Callable, Iterable

_IN_A_TURN = 16


class Acceptor:
    """Takes from the queues what waits behind a connection that libuv has taken.

    So it costs one call of the kernel's for each connection where nobody waits. What stands in the
    way of more, as that no descriptor is free, is left to libuv, which comes by again.
    """

    def __init__(self) -> None:
        self._queues: list[socket.socket] = []
        self._new: Callable[[], asyncio.Protocol] = asyncio.Protocol
        self._is_due = False
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(
        self, listeners: Iterable[socket.socket], new: Callable[[], asyncio.Protocol]
    ) -> None:
        """Take from these, which are being served. `new`: makes the protocol of a connection."""
        for listener in listeners:
            queue = socket.fromfd(listener.fileno(), listener.family, listener.type)
            queue.setblocking(False)
            self._queues.append(queue)
        self._new = new

    def end(self) -> None:
        """Take nothing more."""
        while self._queues:
            self._queues.pop().close()

    def connected(self) -> None:
        """A connection was taken: see in the next turn who else waits."""
        if self._queues and not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._take)

    def _take(self) -> None:
        self._is_due = False
        for queue in self._queues:
            for _ in range(_IN_A_TURN):
                try:
                    connection, _ = queue.accept()
                except OSError:
                    break
                connection.setblocking(False)
                task = asyncio.create_task(self._serve(connection))
                self._tasks.add(task)  # the loop alone would not keep it
                task.add_done_callback(self._tasks.discard)

    async def _serve(self, connection: socket.socket) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(self._new, connection)
        except OSError:  # it has ended already
            connection.close()
