"""An echo server with the library websockets that counts. It prints PORT on its first line, and its
counts as JSON on the last.

    load_server.py [DELAY_MS]

Each echo is delayed by this time, and ten times as long on one connection in fifty of each path.
"""

import asyncio
import json
import signal
import sys

import websockets

delay = float(sys.argv[1]) / 1000 if len(sys.argv) > 1 else 0.0
counts = {"opened": 0, "messages": 0, "bytes": 0, "normal": 0}
paths = {}


async def echo(connection):
    counts["opened"] += 1
    path = connection.request.path
    paths[path] = paths.get(path, 0) + 1
    later = delay * (10 if paths[path] % 50 == 25 else 1)

    async def answer(message, due):
        await asyncio.sleep(due - asyncio.get_running_loop().time())
        await connection.send(message)

    answers = set()
    try:
        async for message in connection:
            counts["messages"] += 1
            counts["bytes"] += len(message)
            if delay:
                due = asyncio.get_running_loop().time() + later
                task = asyncio.create_task(answer(message, due))
                answers.add(task)
                task.add_done_callback(answers.discard)
            else:
                await connection.send(message)
    except websockets.ConnectionClosedError:
        pass
    counts["normal"] += connection.close_code == 1000


async def main():
    stopped = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set_result, None)
    async with websockets.serve(echo, "127.0.0.1", 0, max_size=None, compression="deflate") as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await stopped
    print(json.dumps(counts), flush=True)


asyncio.run(main())
