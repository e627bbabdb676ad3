"""The errand by gRPC's asyncio interface, as a contestant with one channel; `--serve PORT` is its other end.

The messages are JSON as they are, without protocol buffers: the generic interface that generated code uses too.
"""

from __future__ import annotations

import asyncio
import json
import sys

import grpc
from contest import serve_asyncio
from errand import answered, asked
from workers import free_port, running


async def serve(port: int) -> None:
    async def reply(request: bytes, _: object) -> bytes:
        return answered(request)

    server = grpc.aio.server()
    handlers = {"Run": grpc.unary_unary_rpc_method_handler(reply)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("Errand", handlers),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    print("up", flush=True)
    await server.wait_for_termination()


async def ask(port: int) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = channel.unary_unary("/Errand/Run")

        async def ask_once() -> object:
            return json.loads(await call(asked()))

        await serve_asyncio(ask_once)


def main() -> None:
    port = free_port()
    with running(sys.executable, __file__, "--serve", str(port), wait="up"):
        asyncio.run(ask(port))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        asyncio.run(serve(int(sys.argv[2])))
    else:
        main()
