"""A chat with the library websockets, for scenarios.py and examples/scenarios/chat.txt. It prints
PORT on its first line, and what it has counted as JSON on the last.
"""

import asyncio
import json
import secrets
import signal

import websockets

counts = {"opened": 0, "messages": 0, "closed": 0, "said": 0, "logout": 0, "users": []}
inside = set()


async def chat(connection):
    counts["opened"] += 1
    token = None
    try:
        async for text in connection:
            counts["messages"] += 1
            message = json.loads(text)
            if message["type"] == "login":
                counts["users"].append([message["user"], message["password"]])
                token = secrets.token_hex(8)
                inside.add(connection)
                await connection.send(json.dumps({"type": "welcome", "token": token}))
            elif message["type"] == "say" and message["token"] == token:
                counts["said"] += 1
                websockets.broadcast(inside, json.dumps({"type": "said", "text": message["text"]}))
            elif message["type"] == "logout":
                counts["logout"] += 1
                inside.discard(connection)
                await connection.close(1000, "bye")
    finally:
        inside.discard(connection)
        counts["closed"] += 1


async def main():
    stopped = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set_result, None)
    async with websockets.serve(chat, "127.0.0.1", 0) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await stopped
    print(json.dumps(counts), flush=True)


asyncio.run(main())
