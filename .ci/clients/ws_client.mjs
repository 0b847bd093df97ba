// Talk to a Lariat server through the Node package `ws`.
//
//     node ws_client.mjs ws://127.0.0.1:PORT
//
// With wss://, Node must trust the server's CA: NODE_EXTRA_CA_CERTS names its file.
//
// The package judges the protocol (the accept key, masking, opcodes, UTF-8, the close handshake);
// this file judges what the server does with the messages. Needs `npm install` beside package.json.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';
import https from 'node:https';
import WebSocket from 'ws';

const KIB = 1024;
const MIB = 1024 * KIB;
const SIZES = [0, 1, 125, 126, 127, 65535, 65536, MIB];
const EACH = 20_000; // milliseconds for one check
const TOTAL = 180_000; // milliseconds for all of them

const BASE = process.argv[2]?.replace(/\/$/, '');
if (process.argv.length !== 3 || !/^wss?:/.test(BASE)) {
  console.error('usage: node ws_client.mjs ws://127.0.0.1:PORT');
  process.exit(2);
}

// ---------------------------------------------------------------- a client that can be awaited

/** One connection: messages, pongs and the close queue up until somebody asks for them. */
class Client {
  constructor(path, protocols, options) {
    this.socket = new WebSocket(BASE + path, protocols, { perMessageDeflate: false, maxPayload: 0, ...options });
    sockets.add(this.socket);
    this.messages = new Queue();
    this.pongs = new Queue();
    this.socket.on('message', (data, isBinary) => this.messages.push(isBinary ? data : data.toString()));
    this.socket.on('pong', (data) => this.pongs.push(data));
    this.socket.on('error', (error) => this.messages.fail(error));
    this.closed = new Promise((resolve) => {
      this.socket.on('close', (code, reason) => {
        this.messages.fail(new Error(`closed with ${code}`));
        this.pongs.fail(new Error(`closed with ${code}`));
        resolve({ code, reason: reason.toString() });
      });
    });
  }

  static async open(path = '/echo', options = {}, protocols = []) {
    const client = new Client(path, protocols, options);
    await once(client.socket, 'open');
    return client;
  }

  send(data, options) {
    this.socket.send(data, options);
  }

  receive() {
    return this.messages.next();
  }

  async echoes(message) {
    this.send(message);
    equal(await this.receive(), message, 'echo');
  }

  async close(code, reason) {
    this.socket.close(code, reason);
    return this.closed;
  }
}

/** Values wait for takers, takers wait for values. */
class Queue {
  values = [];
  takers = [];
  error = null;

  push(value) {
    const taker = this.takers.shift();
    if (taker) taker.resolve(value);
    else this.values.push(value);
  }

  next() {
    if (this.values.length) return Promise.resolve(this.values.shift());
    if (this.error) return Promise.reject(this.error);
    return new Promise((resolve, reject) => this.takers.push({ resolve, reject }));
  }

  fail(error) {
    this.error ??= error;
    for (const taker of this.takers.splice(0)) taker.reject(this.error);
  }
}

const sockets = new Set(); // of the running check

function equal(got, wanted, what) {
  const same = Buffer.isBuffer(wanted) ? Buffer.isBuffer(got) && got.equals(wanted) : got === wanted;
  if (!same) throw new Error(`${what}: got ${brief(got)}, wanted ${brief(wanted)}`);
}

function brief(value) {
  const text = Buffer.isBuffer(value) ? `0x${value.subarray(0, 50).toString('hex')}` : JSON.stringify(value) ?? String(value);
  return text.length <= 100 && !(value?.length > 100) ? text : `${text.slice(0, 100)}... (${value.length} long)`;
}

/** Text of exactly `size` bytes of UTF-8. */
function textOf(size, alphabet) {
  const unit = Buffer.byteLength(alphabet);
  return alphabet.repeat(Math.floor(size / unit)) + '.'.repeat(size % unit);
}

const checks = [];
const check = (name, run) => checks.push({ name, run });

// ---------------------------------------------------------------- messages

check('text, one byte per character, at every length encoding', async () => {
  const client = await Client.open();
  for (const size of SIZES) await client.echoes(textOf(size, 'Hello, Lariat. '));
});

check('text, two to four bytes per character, at every length encoding', async () => {
  const client = await Client.open();
  for (const size of SIZES) await client.echoes(textOf(size, 'κόσμε→𝄞€ñ'));
});

check('binary, at every length encoding', async () => {
  const client = await Client.open();
  for (const size of SIZES) await client.echoes(randomBytes(size));
});

check('binary, 10 MiB of random bytes', async () => {
  const client = await Client.open();
  await client.echoes(randomBytes(10 * MIB));
});

check('binary, 16 MiB: the largest message by default', async () => {
  const client = await Client.open();
  await client.echoes(randomBytes(16 * MIB));
});

check('17 MiB are closed with 1009', async () => {
  const client = await Client.open();
  client.send(Buffer.alloc(17 * MIB));
  equal((await client.closed).code, 1009, 'close code');
});

check('fragmented text, cut between characters', async () => {
  const client = await Client.open();
  for (const part of ['κό', '', 'σμε', '→']) client.send(part, { fin: false });
  client.send('𝄞', { fin: true });
  equal(await client.receive(), 'κόσμε→𝄞', 'echo');
});

check('fragmented text, cut inside characters', async () => {
  const text = 'κόσμε→𝄞€';
  const octets = Buffer.from(text);
  const client = await Client.open();
  for (let i = 0; i < octets.length; i++) {
    client.send(octets.subarray(i, i + 1), { binary: false, fin: i === octets.length - 1 });
  }
  equal(await client.receive(), text, 'echo');
});

check('fragmented binary: empty, small and large fragments', async () => {
  const parts = [0, 1, 125, 0, 126, 65535, 65536, 300_000, 7, 0].map((size) => randomBytes(size));
  const client = await Client.open();
  parts.forEach((part, i) => client.send(part, { fin: i === parts.length - 1 }));
  equal(await client.receive(), Buffer.concat(parts), 'echo');
  const octets = randomBytes(2000);
  for (let i = 0; i < 2000; i++) client.send(octets.subarray(i, i + 1), { fin: i === 1999 });
  equal(await client.receive(), octets, 'echo');
});

check('pings between fragments are answered before the message ends', async () => {
  const client = await Client.open();
  for (const part of ['one', 'two', 'three']) {
    client.send(part, { fin: false });
    client.socket.ping(`after ${part}`);
    equal((await client.pongs.next()).toString(), `after ${part}`, 'pong');
  }
  client.send('', { fin: true });
  equal(await client.receive(), 'onetwothree', 'echo');
});

check('1000 pipelined messages come back in order', async () => {
  const client = await Client.open();
  const message = (i) => `message ${i} ${'x'.repeat(i % 300)}`;
  for (let i = 0; i < 1000; i++) client.send(message(i));
  for (let i = 0; i < 1000; i++) equal(await client.receive(), message(i), `message ${i}`);
});

// ---------------------------------------------------------------- control frames

check('pings are answered with their payload', async () => {
  const client = await Client.open();
  const payloads = ['', 'x', 'κόσμε', randomBytes(125)].map((payload) => Buffer.from(payload));
  for (let i = 0; i < 50; i++) payloads.push(Buffer.from(`many ${i}`));
  for (const payload of payloads) client.socket.ping(payload);
  for (const payload of payloads) equal(await client.pongs.next(), payload, 'pong');
  client.socket.pong('nobody asked');
  await client.echoes('still here');
});

check('the close handshake echoes code and reason', async () => {
  const closes = [
    [1000, ''],
    [1000, 'done'],
    [1001, 'going away'],
    [1011, 'trouble'],
    [3000, 'κόσμε'],
    [4999, 'r'.repeat(123)],
  ];
  for (const [code, reason] of closes) {
    const client = await Client.open();
    await client.echoes('hello');
    const answer = await client.close(code, reason);
    equal(answer.code, code, 'close code');
    equal(answer.reason, reason, 'close reason');
  }
});

check('a close without a code is answered without one', async () => {
  const client = await Client.open();
  equal((await client.close()).code, 1005, 'close code');
});

check('what was sent just before the Close frame is echoed', async () => {
  const client = await Client.open();
  for (let i = 0; i < 100; i++) client.send(`${i}`);
  client.socket.close(1000, 'enough');
  for (let i = 0; i < 100; i++) equal(await client.receive(), `${i}`, 'echo');
  equal((await client.closed).code, 1000, 'close code');
});

// ---------------------------------------------------------------- opening handshake

check('subprotocols are offered and none is chosen', async () => {
  // `ws` refuses an answer that chooses none: look at the answer itself.
  const client = new Client('/echo', ['chat', 'superchat'], {});
  const [answer] = await once(client.socket, 'upgrade');
  equal(answer.statusCode, 101, 'status');
  equal(answer.headers['sec-websocket-protocol'], undefined, 'Sec-WebSocket-Protocol');
  await client.closed;
});

for (const [offer, options] of [
  ['as ws offers it', true],
  ['without context takeover', { serverNoContextTakeover: true, clientNoContextTakeover: true }],
  ['with small windows', { serverMaxWindowBits: 10, clientMaxWindowBits: 10 }],
]) {
  check(`permessage-deflate is offered ${offer}: accepted or declined, messages come back`, async () => {
    const client = await Client.open('/echo', { perMessageDeflate: options === true ? true : { ...options, threshold: 0 } });
    const messages = ['', 'hello', 'hello', textOf(MIB, 'κόσμε→𝄞€ñ'), Buffer.alloc(MIB), randomBytes(MIB)];
    for (const message of messages) await client.echoes(message);
    client.send('frag', { fin: false });
    client.send('mented', { fin: true });
    equal(await client.receive(), 'fragmented', 'echo');
    client.socket.ping('plain');
    equal((await client.pongs.next()).toString(), 'plain', 'pong');
    return `agreed on ${client.socket.extensions || 'no extension'}`;
  });
}

check('an Origin and further headers do no harm', async () => {
  const headers = { Cookie: 'a=b; c=d', Authorization: 'Basic YTpi', 'X-Empty': '' };
  const client = await Client.open('/echo?a=b&c', { origin: 'http://elsewhere.test', headers });
  await client.echoes('hello');
});

check('an upgrade at an unknown path is refused with 404', async () => {
  const client = new Client('/nope', [], {});
  const [, answer] = await once(client.socket, 'unexpected-response');
  equal(answer.statusCode, 404, 'status');
  client.socket.terminate();
});

// ---------------------------------------------------------------- many clients

check('100 connections at once, each with its own messages', async () => {
  const clients = await Promise.all(Array.from({ length: 100 }, () => Client.open()));
  await Promise.all(
    clients.map(async (client, number) => {
      for (let i = 0; i < 10; i++) await client.echoes(`client ${number} message ${i}`);
    }),
  );
  for (const answer of await Promise.all(clients.map((client) => client.close(1000)))) {
    equal(answer.code, 1000, 'close code');
  }
});

check('/broadcast reaches all 10 clients, the sender too, in one order', async () => {
  const clients = [];
  for (let i = 0; i < 10; i++) clients.push(await Client.open('/broadcast'));
  for (const [i, client] of clients.entries()) {
    const message = i % 2 ? `from ${i}` : Buffer.from(`from ${i}`);
    client.send(message);
    for (const receiver of clients) equal(await receiver.receive(), message, 'broadcast');
  }
  clients.forEach((client, i) => client.send(`burst ${i}`));
  const heard = [];
  for (const client of clients) {
    const order = [];
    for (let i = 0; i < clients.length; i++) order.push(await client.receive());
    heard.push(order.join());
  }
  equal(heard[0].split(',').sort().join(), clients.map((_, i) => `burst ${i}`).join(), 'burst');
  for (const order of heard) equal(order, heard[0], 'order');
  // One leaves: the others still hear each other and nothing of it.
  await clients.pop().close(1000);
  clients[0].send('nine');
  for (const client of clients) equal(await client.receive(), 'nine', 'broadcast');
});

// ---------------------------------------------------------------- plain HTTP

/** One request on its own connection: status, headers, body. */
async function request(method, path) {
  const client = BASE.startsWith('wss:') ? https : http;
  const sent = client.request(BASE.replace(/^ws/, 'http') + path, { method, agent: false, timeout: 10_000 });
  sent.on('timeout', () => sent.destroy(new Error(`no answer to ${method} ${path}`)));
  // An error may also come after the answer, such as bytes beyond its end.
  const closed = new Promise((resolve, reject) => sent.on('close', resolve).on('error', reject));
  sent.end();
  const [answer] = await Promise.race([once(sent, 'response'), closed]);
  const body = Buffer.concat(await answer.toArray());
  await closed;
  if (method !== 'HEAD') equal(answer.headers['content-length'], `${body.length}`, 'Content-Length');
  return { status: answer.statusCode, headers: answer.headers, body };
}

check('HTTP: / is a page', async () => {
  const { status, headers, body } = await request('GET', '/');
  equal(status, 200, 'status');
  equal(headers['content-type'].split(';')[0], 'text/html', 'content type');
  assert.match(body.toString(), /<!doctype html|<html/i);
});

check('HTTP: /healthz is 200', async () => {
  equal((await request('GET', '/healthz')).status, 200, 'status');
});

check('HTTP: an unknown path is 404 with a body', async () => {
  for (const path of ['/nope', '/echo/nope', '/ECHO']) {
    const { status, body } = await request('GET', path);
    equal(status, 404, `status of ${path}`);
    assert.notEqual(body.length, 0, 'the body is empty');
  }
});

check('HTTP: HEAD has the headers of GET and no body', async () => {
  for (const path of ['/', '/healthz', '/nope']) {
    const get = await request('GET', path);
    const head = await request('HEAD', path);
    equal(head.status, get.status, `status of ${path}`);
    equal(head.headers['content-length'], get.headers['content-length'], 'Content-Length');
    equal(head.headers['content-type'], get.headers['content-type'], 'Content-Type');
    equal(head.body.length, 0, 'length of the body');
  }
});

check('HTTP: POST is 405 with Allow', async () => {
  for (const path of ['/', '/healthz']) {
    const { status, headers } = await request('POST', path);
    equal(status, 405, `status of ${path}`);
    const allowed = (headers.allow ?? '').split(',').map((method) => method.trim());
    assert(allowed.includes('GET') && !allowed.includes('POST'), `Allow is ${headers.allow}`);
  }
});

check('HTTP: a WebSocket path without an upgrade is 426', async () => {
  for (const path of ['/echo', '/broadcast']) {
    const { status, headers } = await request('GET', path);
    equal(status, 426, `status of ${path}`);
    equal(headers.upgrade?.toLowerCase(), 'websocket', 'Upgrade');
  }
});

// ---------------------------------------------------------------- the run

async function within(milliseconds, run) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error('timed out')), milliseconds);
  });
  try {
    return await Promise.race([run(), late]);
  } finally {
    clearTimeout(timer);
  }
}

const deadline = Date.now() + TOTAL;
let failed = 0;
for (const { name, run } of checks) {
  const start = Date.now();
  try {
    const note = await within(Math.max(1000, Math.min(EACH, deadline - start)), run);
    console.log(`ok    ${name}${note ? ` (${note})` : ''}`);
  } catch (error) {
    failed += 1;
    console.log(`FAIL  ${name}: ${error.message} (after ${((Date.now() - start) / 1000).toFixed(1)} s)`);
  }
  for (const socket of sockets) socket.terminate();
  sockets.clear();
}
console.log(`${checks.length - failed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
