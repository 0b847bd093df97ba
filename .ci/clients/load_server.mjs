// An echo server of the library ws that counts: PORT on its first line, its counts as JSON on the
// last.
import { WebSocketServer } from "ws";

const counts = { opened: 0, messages: 0, bytes: 0, normal: 0 };
const server = new WebSocketServer({ host: "127.0.0.1", port: 0, perMessageDeflate: true });
server.on("listening", () => console.log(server.address().port));
server.on("connection", (socket) => {
  counts.opened += 1;
  socket.on("message", (data, isBinary) => {
    counts.messages += 1;
    counts.bytes += data.length;
    socket.send(data, { binary: isBinary });
  });
  socket.on("close", (code) => { counts.normal += code === 1000; });
  socket.on("error", () => {});
});
process.on("SIGTERM", () => {
  // Not before the last connection has been seen to close; its socket is closed earlier.
  const finish = () => (server.clients.size > 0 ? setTimeout(finish, 5) : console.log(JSON.stringify(counts)));
  server.close(finish);
});
