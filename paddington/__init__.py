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

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from paddington.config import ServiceConfig
    from paddington.connection import Connection, ConnectionStatistics
    from paddington.crypto import Key
    from paddington.dialler import DialFailure
    from paddington.errors import (
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
    from paddington.invite import Invite
    from paddington.limits import Limits
    from paddington.messages import Connected, Disconnected, Event, Received
    from paddington.network import Network, TcpNetwork
    from paddington.peer import Peer
    from paddington.peer_config import ClientConfig, ServerConfig
    from paddington.service import Service, ServiceStatistics, open_service
else:
    from paddington.doors import door

    __getattr__, __dir__ = door(
        __name__,
        {
            "ClientConfig": "peer_config",
            "ConfigError": "errors",
            "Connected": "messages",
            "Connection": "connection",
            "ConnectionLostError": "errors",
            "ConnectionStatistics": "connection",
            "DialFailure": "dialler",
            "Disconnected": "messages",
            "Event": "messages",
            "FrameError": "errors",
            "HandshakeError": "errors",
            "Invite": "invite",
            "InviteError": "errors",
            "Key": "crypto",
            "Limits": "limits",
            "Network": "network",
            "PaddingtonError": "errors",
            "PayloadError": "errors",
            "PayloadTooLargeError": "errors",
            "Peer": "peer",
            "PeerNotConnectedError": "errors",
            "ProtocolError": "errors",
            "Received": "messages",
            "ServerConfig": "peer_config",
            "Service": "service",
            "ServiceConfig": "config",
            "ServiceStatistics": "service",
            "TcpNetwork": "network",
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
    "open_service",
]
