"""Secure peer-to-peer connections between named services; knows nothing of jobs.

A service writes an `Invite` for each peer that shall call it, that peer imports it, and `open_service` on
both sides keeps an encrypted connection between the two for as long as both run::

    async with open_service(config) as service:
        async for event in service.events:
            match event:
                case Connected(peer):
                    await service.send(peer, "hello")
                case Received(peer, text):
                    print(f"{peer} says {text}")
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .config.invite import Invite
    from .config.peer_config import ClientConfig, ServerConfig
    from .config.service_config import ServiceConfig
    from .connection import Connection, ConnectionStatistics
    from .dialler import DialFailure
    from .errors import (
        ConfigError,
        ConnectionLostError,
        FrameError,
        HandshakeError,
        InviteError,
        PaddingtonError,
        PayloadError,
        PayloadTooLargeError,
        PeerNotConnectedError,
        ProtocolError,
    )
    from .events import Connected, Disconnected, Event, Received
    from .limits import Limits
    from .network import Network, TcpNetwork
    from .peer import Peer
    from .protocol.crypto import Key
    from .protocol.sizes import always_fitting_characters, fits, max_payload_bytes
    from .service import Service, ServiceStatistics, open_service
else:
    from .lazy import door

    __getattr__, __dir__ = door(
        __name__,
        {
            "ClientConfig": "config.peer_config",
            "ConfigError": "errors",
            "Connected": "events",
            "Connection": "connection",
            "ConnectionLostError": "errors",
            "ConnectionStatistics": "connection",
            "DialFailure": "dialler",
            "Disconnected": "events",
            "Event": "events",
            "FrameError": "errors",
            "HandshakeError": "errors",
            "Invite": "config.invite",
            "InviteError": "errors",
            "Key": "protocol.crypto",
            "Limits": "limits",
            "Network": "network",
            "PaddingtonError": "errors",
            "PayloadError": "errors",
            "PayloadTooLargeError": "errors",
            "Peer": "peer",
            "PeerNotConnectedError": "errors",
            "ProtocolError": "errors",
            "Received": "events",
            "ServerConfig": "config.peer_config",
            "Service": "service",
            "ServiceConfig": "config.service_config",
            "ServiceStatistics": "service",
            "TcpNetwork": "network",
            "always_fitting_characters": "protocol.sizes",
            "fits": "protocol.sizes",
            "max_payload_bytes": "protocol.sizes",
            "open_service": "service",
        },
    )

__all__ = [
    "ClientConfig",
    "ConfigError",
    "Connected",
    "Connection",
    "ConnectionLostError",
    "ConnectionStatistics",
    "DialFailure",
    "Disconnected",
    "Event",
    "FrameError",
    "HandshakeError",
    "Invite",
    "InviteError",
    "Key",
    "Limits",
    "Network",
    "PaddingtonError",
    "PayloadError",
    "PayloadTooLargeError",
    "Peer",
    "PeerNotConnectedError",
    "ProtocolError",
    "Received",
    "ServerConfig",
    "Service",
    "ServiceConfig",
    "ServiceStatistics",
    "TcpNetwork",
    "always_fitting_characters",
    "fits",
    "max_payload_bytes",
    "open_service",
]
