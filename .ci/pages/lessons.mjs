// The bytes of lessons without a browser: frames, handshakes, and SHA-1 and base64 step by step,
// compared with those of Node.
//
//     node .ci/pages/lessons.mjs

import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";

const source = readFileSync(new URL("../../program/src/site/pages/bytes.js", import.meta.url), "utf8");
const wire = await import(`data:text/javascript,${encodeURIComponent(source)}`);
const { GUID, base64, base64Groups, closeOf, closePayload, concat, frame, fromHex, mask, parseFrames, request, response, sha1, textOf, toHex, typedHex, utf8 } = wire;

let passed = 0;
function check(what, body) {
  body();
  passed += 1;
  console.log(`ok: ${what}`);
}

check("frames of RFC 6455 section 5.7 are written and read", () => {
  const key = fromHex("37fa213d");
  const hello = utf8("Hello");
  for (const [options, digits] of [
    [{ payload: hello, key: null }, "810548656c6c6f"],
    [{ payload: hello, key }, "818537fa213d7f9f4d5158"],
    [{ payload: utf8("Hel"), key: null, fin: 0 }, "010348656c"],
    [{ payload: utf8("lo"), key: null, opcode: 0 }, "80026c6f"],
    [{ payload: hello, key: null, opcode: 9 }, "890548656c6c6f"],
    [{ payload: [], key: null, rsv1: 1, rsv2: 1, rsv3: 1, opcode: 2, length: 256 }, "f27e0100"],
    [{ payload: [], key: null, opcode: 2, length: 65_536 }, "827f0000000000010000"],
  ]) assert.equal(toHex(frame(options)), digits);
});

check("frames of every length are read as they were written, whatever is left", () => {
  for (const length of [0, 1, 125, 126, 127, 65_535, 65_536]) {
    const payload = randomBytes(length);
    for (const key of [null, randomBytes(4)]) {
      const first = frame({ payload, key, opcode: 2 });
      const whole = concat(first, frame({ payload: utf8("x"), key: null }), [0x81]);
      const { frames, rest } = parseFrames(whole);
      assert.deepEqual(frames.map(({ length: found }) => found), [length, 1]);
      assert.equal(Buffer.compare(frames[0].payload, payload), 0);
      assert.equal(frames[0].end, first.length);
      assert.deepEqual([...rest], [0x81]);
      for (const cut of [0, 1, 2, first.length - 1].filter((at) => at < first.length)) assert.equal(parseFrames(first.slice(0, cut)).frames.length, 0, `${length}, cut at ${cut}`);
    }
  }
  assert.deepEqual([...mask(mask([1, 2, 3, 4, 5], [9, 8, 7, 6]), [9, 8, 7, 6])], [1, 2, 3, 4, 5]);
});

check("close frames, text and digits", () => {
  assert.deepEqual(closeOf({ payload: closePayload(1006, utf8("gone")) }), { code: 1006, reason: "gone" });
  assert.deepEqual(closeOf({ payload: new Uint8Array() }), { code: null, reason: "" });
  assert.equal(textOf(new Uint8Array([0xc3, 0xa9])), "é");
  assert.equal(textOf(new Uint8Array([0xc3])), null);
  assert.deepEqual([...typedHex("0x4c 61,72")], [0x4c, 0x61, 0x72]);
  assert.equal(typedHex("4c 6"), null);
  assert.equal(typedHex("zz"), null);
});

check("the steps of SHA-1 lead to its digest", () => {
  for (let length = 0; length < 200; length++) {
    const bytes = randomBytes(length);
    const { digest, blocks } = sha1(bytes);
    assert.equal(toHex(digest), createHash("sha1").update(bytes).digest("hex"), `${length} bytes`);
    assert.equal(blocks.length, Math.ceil((length + 9) / 64));
    assert.ok(blocks.every(({ block, rounds, before }) => block.length === 64 && rounds.length === 80 && before.length === 5));
    assert.deepEqual(blocks.slice(1).map(({ before }) => before), blocks.slice(0, -1).map(({ after }) => after));
  }
});

check("base64, in groups", () => {
  for (let length = 0; length < 70; length++) {
    const bytes = randomBytes(length);
    assert.equal(base64(bytes), bytes.toString("base64"));
    assert.ok(base64Groups(bytes).every(({ letters, sixes, bytes: three }) => letters.length === 4 && sixes.length === three.length + 1));
  }
});

check("the accept key of RFC 6455 section 1.3", () => {
  assert.equal(base64(sha1(utf8(`dGhlIHNhbXBsZSBub25jZQ==${GUID}`)).digest), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
});

check("requests are written, and responses read when they are whole", () => {
  assert.equal(request("/x", [["Host", "a"]]), "GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
  const bytes = utf8("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nsec-x: a:b \r\n\r\n\u0001\u0002");
  const { status, line, header, rest } = response(bytes);
  assert.deepEqual([status, line, header("UPGRADE"), header("Sec-X"), header("none"), [...rest]], [101, "HTTP/1.1 101 Switching Protocols", "websocket", "a:b", null, [1, 2]]);
  assert.equal(response(bytes.slice(0, 40)), null);
});

console.log(`${passed} passed`);
