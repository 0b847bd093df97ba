#!/usr/bin/env python3
"""End a running Lariat server with SIGINT while clients are connected: each must get Close 1001.

    python stop.py ws://127.0.0.1:PORT PID

The caller checks the exit code of the server. Needs requirements.txt.
"""

import asyncio
import os
import signal
import sys

from websockets.asyncio.client import connect


async def stop(base, pid):
    clients = [
        await connect(base + path, proxy=None, ping_interval=None) for path in ["/echo", "/broadcast"] for _ in range(10)
    ]
    os.kill(pid, signal.SIGINT)
    async with asyncio.timeout(10):
        await asyncio.gather(*(client.wait_closed() for client in clients))
    codes = [client.close_code for client in clients]
    wrong = [code for code in codes if code != 1001]
    print(f"{len(codes) - len(wrong)} passed, {len(wrong)} failed")
    if wrong:
        sys.exit(f"closed with {sorted(set(wrong))}, not 1001")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    asyncio.run(stop(sys.argv[1].rstrip("/"), int(sys.argv[2])))
