// Keep connections of the Node package `ws` open while a Lariat server is upgraded.
//
//     node handover_client.mjs ws://127.0.0.1:PORT
//
// Prints "open", echoes until a line comes on standard input, and prints "ok" with the number of
// messages. Exits with 1 if a connection closes, or if anything else than the same comes back.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import WebSocket from 'ws';

const [base] = process.argv.slice(2);
const CLIENTS = 20;
let stopped = false;
process.stdin.once('data', () => (stopped = true));

function fail(why) {
  console.log(`failed: ${why}`);
  process.exit(1);
}

async function talk(number) {
  const perMessageDeflate = number % 2 === 0 && { threshold: 0, serverNoContextTakeover: false };
  const socket = new WebSocket(`${base}/echo`, { perMessageDeflate });
  await once(socket, 'open');
  socket.on('close', (code) => stopped || fail(`client ${number} was closed with ${code}`));
  let count = 0;
  async function go() {
    while (!stopped) {
      const sent = number % 3 === 0 ? randomBytes(50_000) : Buffer.from(`${number}: ${'again and '.repeat(count % 500)}`);
      socket.send(sent);
      if (count % 10 === 0) {
        socket.ping(String(count));
        const [[received], [pong]] = await Promise.all([once(socket, 'message'), once(socket, 'pong')]);
        assert.ok(received.equals(sent) && pong.toString() === String(count));
      } else {
        const [received] = await once(socket, 'message');
        assert.ok(received.equals(sent), `client ${number} got something else back`);
      }
      count += 1;
      await new Promise((done) => setTimeout(done, 5));
    }
    socket.close();
    return count;
  }
  return go;
}

try {
  const clients = await Promise.all(Array.from({ length: CLIENTS }, (_, number) => talk(number)));
  console.log('open');
  const counts = await Promise.all(clients.map((go) => go()));
  console.log(`ok: ${counts.reduce((sum, count) => sum + count)} messages on ${CLIENTS} connections`);
  process.exit(0);
} catch (error) {
  fail(error.message);
}
