"""A TCP relay that delivers each byte later: a process that is given a port, a host with its port, and seconds.

Many kernels have no netem. What it adds is constant, in each direction, and takes no bandwidth away.
"""

import asyncio
import contextlib
import sys
from functools import partial
from typing import Final

CHUNK_BYTES: Final = 65_536


async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float) -> None:
    """Carry bytes in one direction until its end, each chunk so many seconds after it came."""
    loop = asyncio.get_running_loop()
    waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def deliver() -> None:
        while True:
            due, chunk = await waiting.get()
            await asyncio.sleep(max(0.0, due - loop.time()))
            if not chunk:
                break
            writer.write(chunk)
            await writer.drain()

    delivery = asyncio.create_task(deliver())
    with contextlib.suppress(OSError):
        while chunk := await reader.read(CHUNK_BYTES):
            waiting.put_nowait((loop.time() + seconds, chunk))
    waiting.put_nowait((loop.time() + seconds, b""))
    with contextlib.suppress(OSError):
        await delivery
    writer.close()


async def connect(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, host: str, port: int, seconds: float
) -> None:
    """Carry one connection in both directions."""
    try:
        there, back = await asyncio.open_connection(host, port)
    except OSError:
        writer.close()
        return
    await asyncio.gather(carry(reader, back, seconds), carry(there, writer, seconds))


async def main(own_port: int, host: str, port: int, seconds: float) -> None:
    """Relay until the process is ended."""
    server = await asyncio.start_server(partial(connect, host=host, port=port, seconds=seconds), "127.0.0.1", own_port)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    _, given_port, given_host, far_port, delay = sys.argv
    asyncio.run(main(int(given_port), given_host, int(far_port), float(delay)))
