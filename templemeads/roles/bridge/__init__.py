"""The bridge: web portals speak to the network through it, over HTTP.

`signatures`, `authentication`, `rates`, `web_board` and `notices` are pure: values in, values out, with time passed in.
`api` turns requests into calls, `signals` calls the web portal, `bridge` ties them to a running agent.

May import: everything below `templemeads.roles`, and Starlette. The HTTP server itself is `templemeads.daemon.http`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .bridge import Bridge as Bridge
    from .bridge import run as run
else:
    from paddington.lazy import door

    __getattr__, __dir__ = door(__name__, {"Bridge": "bridge", "run": "bridge"})

__all__ = ["Bridge", "run"]
