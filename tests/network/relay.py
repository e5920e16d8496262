"""A relay of TCP that delays what passes: relay.py ADDRESS PORT TARGET PORT MILLISECONDS. SIGUSR1 begins to delay, SIGUSR2 ends it."""

import asyncio
import signal
import sys

DELAY = {"now": 0.0}


async def pass_on(reader, writer):
    """Passes on what comes, in order, each piece so long after it came."""
    loop, waiting = asyncio.get_running_loop(), asyncio.Queue()

    async def read():
        while piece := await reader.read(65536):
            await waiting.put((loop.time() + DELAY["now"], piece))
        await waiting.put((loop.time() + DELAY["now"], b""))

    reading = asyncio.create_task(read())
    try:
        while True:
            due, piece = await waiting.get()
            await asyncio.sleep(max(0.0, due - loop.time()))
            if not piece:
                writer.write_eof()
                return
            writer.write(piece)
            await writer.drain()
    finally:
        reading.cancel()


async def main():
    address, port, target, target_port, delay = sys.argv[1:]
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, lambda: DELAY.update(now=float(delay) / 1000))
    loop.add_signal_handler(signal.SIGUSR2, lambda: DELAY.update(now=0.0))

    async def accept(reader, writer):
        writers = [writer]
        try:
            answers, questions = await asyncio.open_connection(target, int(target_port))
            writers.append(questions)
            await asyncio.gather(pass_on(reader, questions), pass_on(answers, writer))
        except OSError:
            pass  # One end is gone, and hears nothing.
        finally:
            for end in writers:
                end.close()

    server = await asyncio.start_server(accept, address, int(port))
    await server.serve_forever()


asyncio.run(main())
