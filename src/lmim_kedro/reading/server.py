"""How the web page is served: uvicorn, with an end to its patience."""

import asyncio
import socket
from typing import Any

import uvicorn
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from lmim_kedro.crops.validate import quiet_decoders

CONNECTIONS = 64
"""Connections at once; those beyond are refused with status 503."""
PATIENCE = 60.0
"""Seconds after which a connection is closed that has sent no request, or whose answer is not taken."""


class PatientForAWhile(AutoHTTPProtocol):  # type: ignore[misc,valid-type]
    """Closes a connection on which the same request, or none, goes on for PATIENCE: uvicorn would wait for good."""

    def connection_made(self, transport: Any) -> None:
        """Begin to watch."""
        super().connection_made(transport)
        self._watch(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Watch no longer."""
        self._watching.cancel()
        super().connection_lost(exc)

    def _watch(self, transport: Any) -> None:
        self._watching = asyncio.get_running_loop().call_later(PATIENCE, self._look, transport, self.cycle)

    def _look(self, transport: Any, before: Any) -> None:
        if self.cycle is before:
            transport.abort()
        else:
            self._watch(transport)


def make_server(app: Any) -> uvicorn.Server:
    """The server of an application; `server.run(sockets=[...])` serves."""
    return uvicorn.Server(
        uvicorn.Config(
            app,
            http=PatientForAWhile,
            ws="none",
            lifespan="off",
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=CONNECTIONS,
            timeout_graceful_shutdown=5,
        )
    )


def serve_app(app: Any, place: socket.socket) -> None:
    """Serve an application on a socket that listens, until Ctrl-C."""
    with quiet_decoders():  # once: it is not for threads
        make_server(app).run(sockets=[place])
