// A Redis of a test's own. Needs redis-server.

import { spawn } from "node:child_process";
import { createServer } from "node:net";

/** Starts a Redis without data. */
export async function startRedis(port = 0) {
  port ||= await freePort();
  const options = ["--bind", "127.0.0.1", "--port", port, "--save", "", "--appendonly", "no"].map(String);
  const child = spawn("redis-server", options, { stdio: "ignore" });
  const exited = new Promise((resolve, reject) => { child.once("exit", resolve); child.once("error", reject); });
  process.once("exit", () => child.kill("SIGKILL"));
  return { port, url: `redis://127.0.0.1:${port}/`, async kill() { child.kill("SIGKILL"); await exited; } };
}

function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer().once("error", reject);
    server.listen(0, "127.0.0.1", () => { const { port } = server.address(); server.close(() => resolve(port)); });
  });
}
