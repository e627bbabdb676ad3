"""The page of a network: three files, served as they are, that read the interface below `/v1/` from the browser.

The page is the same for everybody and holds nothing; what it shows it asks for with the key that a person logs in with.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

FILES: Final[Mapping[str, str]] = {
    "": "text/html; charset=utf-8",
    "page.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
}
"""The files of the page with their types; the empty name is the page itself."""

HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-cache",
}
"""What keeps other sites from showing the page, reading it, or running anything in it."""


def make_page_routes() -> list[Route]:
    """Make the routes of the page, below `/page/`."""

    def route(name: str, media_type: str) -> Route:
        content = (files(__package__) / "page" / (name or "index.html")).read_bytes()

        async def endpoint(_: Request) -> Response:
            return Response(content, media_type=media_type, headers=dict(HEADERS))

        return Route(f"/page/{name}", endpoint, methods=["GET"])

    async def redirect(_: Request) -> Response:
        return RedirectResponse("/page/", 308)

    return [Route("/page", redirect, methods=["GET"]), *(route(name, kind) for name, kind in FILES.items())]
