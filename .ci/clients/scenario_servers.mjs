// Servers of other projects, for scenarios.py and the scenarios in examples/scenarios.
//
//     node scenario_servers.mjs json-rpc|socket-io|graphql|mqtt
//
// PORT is on the first line of standard output, what was counted as JSON on the last.
import { createServer } from "node:http";
import { Duplex } from "node:stream";
import { Aedes } from "aedes";
import { GraphQLInt, GraphQLNonNull, GraphQLObjectType, GraphQLSchema } from "graphql";
import { useServer } from "graphql-ws/use/ws";
import { Server } from "socket.io";
import { WebSocketServer } from "ws";

const counts = { opened: 0, messages: 0, closed: 0 };
const count = (name) => { counts[name] = (counts[name] ?? 0) + 1; };

// Counts connections of a server of the library ws, and their messages.
function counting(sockets) {
  sockets.on("connection", (socket) => {
    count("opened");
    socket.on("message", () => count("messages"));
    socket.on("close", () => count("closed"));
    socket.on("error", () => {});
  });
  return sockets;
}

function jsonRpc(http) {
  counting(new WebSocketServer({ server: http })).on("connection", (socket) => {
    // A notification before the answers.
    socket.send('{"jsonrpc":"2.0","method":"welcome"}');
    socket.on("message", (data) => {
      const { id, method, params } = JSON.parse(data);
      const outcome = method === "add" ? { result: params[0] + params[1] } : { error: { code: -32601, message: "?" } };
      count(method);
      socket.send(JSON.stringify({ jsonrpc: "2.0", id, ...outcome }));
    });
  });
}

function socketIo(http) {
  const io = new Server(http, { transports: ["websocket"], pingInterval: 200, pingTimeout: 5000 });
  io.engine.on("connection", (socket) => {
    count("opened");
    socket.on("packet", (packet) => { count("messages"); count(packet.type); });
    socket.on("close", () => count("closed"));
  });
  io.on("connection", (socket) => {
    count("namespace");
    socket.on("echo", (value, acknowledge) => { count("echo"); acknowledge(value); });
    socket.on("disconnect", (why) => { if (why === "client namespace disconnect") count("left"); });
  });
}

function graphql(http) {
  const int = { type: new GraphQLNonNull(GraphQLInt) };
  const schema = new GraphQLSchema({
    query: new GraphQLObjectType({
      name: "Query",
      fields: { twice: { ...int, args: { of: int }, resolve: (_, { of }) => { count("twice"); return 2 * of; } } },
    }),
    subscription: new GraphQLObjectType({
      name: "Subscription",
      fields: {
        countdown: {
          ...int,
          args: { from: int },
          async *subscribe(_, { from }) {
            for (let left = from; left > 0; left -= 1) { count("next"); yield { countdown: left }; }
          },
        },
      },
    }),
  });
  const sockets = counting(new WebSocketServer({ server: http, path: "/graphql" }));
  sockets.on("connection", (socket) => {
    socket.on("message", (data) => { if (JSON.parse(data).type === "pong") count("pong"); });
    setTimeout(() => socket.send('{"type":"ping"}'), 1);
  });
  useServer({ schema, onConnect: () => count("acknowledged") }, sockets);
}

// A packet comes in several writes. Brokers send it as one message.
function stream(socket) {
  const duplex = new Duplex({
    read() {},
    writev(chunks, done) { socket.send(Buffer.concat(chunks.map(({ chunk }) => chunk)), done); },
    final(done) { socket.close(); done(); },
    destroy(error, done) { socket.close(); done(error); },
  });
  socket.on("message", (data) => duplex.push(data));
  socket.on("close", () => duplex.push(null));
  return duplex;
}

async function mqtt(http) {
  const broker = await Aedes.createBroker();
  broker.on("clientReady", () => count("ready"));
  broker.on("subscribe", () => count("subscribed"));
  broker.on("publish", (packet, client) => { if (client) count("published"); });
  broker.on("ping", () => count("pings"));
  const handleProtocols = (offered) => offered.has("mqtt") && "mqtt";
  const sockets = counting(new WebSocketServer({ server: http, path: "/mqtt", handleProtocols }));
  sockets.on("connection", (socket) => broker.handle(stream(socket)));
}

const http = createServer();
await { "json-rpc": jsonRpc, "socket-io": socketIo, graphql, mqtt }[process.argv[2]](http);
http.listen(0, "127.0.0.1", () => console.log(http.address().port));
process.on("SIGTERM", () => {
  // Not before the last connection has been seen to close.
  const finish = () => {
    if (counts.closed < counts.opened) return setTimeout(finish, 5);
    console.log(JSON.stringify(counts));
    process.exit();
  };
  finish();
});
