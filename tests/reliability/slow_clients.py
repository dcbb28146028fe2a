"""Clients that send one byte after the other, in a process of their own.

``python slow_clients.py URL CLIENTS BYTE_S FIRST THEN`` has each of the clients send FIRST at once and THEN byte by
byte, one in BYTE_S, until the server closes. It prints ``connected`` once all are, and then what the server said to
each, as JSON.
"""

from __future__ import annotations

import json
import sys
from functools import partial

import anyio
from anyio.abc import SocketStream


async def until_closed(stream: SocketStream, first: bytes, then: bytes, byte_s: float) -> str:
    """What the server says until it closes."""
    answer = bytearray()

    async def drip() -> None:
        try:
            for byte in then:
                await anyio.sleep(byte_s)
                await stream.send(bytes([byte]))
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            pass

    async with stream, anyio.create_task_group() as tasks:
        if first:
            await stream.send(first)
        tasks.start_soon(drip)
        try:
            while True:
                answer += await stream.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            tasks.cancel_scope.cancel()
    return answer.decode()


async def main(url: str, clients: str, byte_s: str, first: str, then: str) -> None:
    host, _, port = url.removeprefix("http://").partition(":")
    answers: list[str] = []

    async def one(stream: SocketStream) -> None:
        answers.append(await until_closed(stream, first.encode(), then.encode(), float(byte_s)))

    async with anyio.create_task_group() as tasks:
        for _ in range(int(clients)):
            tasks.start_soon(one, await anyio.connect_tcp(host, int(port)))
        print("connected", flush=True)
    print(json.dumps(answers), flush=True)


_, *arguments = sys.argv
anyio.run(partial(main, *arguments))
