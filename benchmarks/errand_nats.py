"""The errand by nats-py request and reply through nats-server, as a contestant; `--serve PORT` is its other end."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import nats
from contest import serve_asyncio
from errand import answered, asked
from workers import free_port, running


async def serve(port: int) -> None:
    client = await nats.connect(f"nats://127.0.0.1:{port}")

    async def reply(message: Any) -> None:
        await message.respond(answered(message.data))

    await client.subscribe("errand", cb=reply)
    await client.flush()
    print("up", flush=True)
    await asyncio.Event().wait()


async def ask(port: int) -> None:
    client = await nats.connect(f"nats://127.0.0.1:{port}")

    async def ask_once() -> object:
        return json.loads((await client.request("errand", asked(), timeout=10)).data)

    await serve_asyncio(ask_once)


def main() -> None:
    port = free_port()
    with (
        running("nats-server", "-a", "127.0.0.1", "-p", str(port), wait="ready"),
        running(sys.executable, __file__, "--serve", str(port), wait="up"),
    ):
        asyncio.run(ask(port))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        asyncio.run(serve(int(sys.argv[2])))
    else:
        main()
