// A worker that reads order books. It does not read while it is busy.
//
// The page sends { url } once, and { busy: ms } at any time. A few times per second, it gets {
// read, replaced, last } since the last time, and { closed: true } at the end.

const REPORT_EVERY_MS = 250;

let seen = { read: 0, replaced: 0, last: null };
/** The number of the last book of each symbol. */
const numbers = new Map();

onmessage = ({ data }) => {
  if (data.busy) {
    const end = performance.now() + data.busy;
    while (performance.now() < end);
    return;
  }
  const socket = new WebSocket(data.url);
  socket.onopen = () => socket.send('"books"');
  socket.onmessage = ({ data: text }) => {
    const { book } = JSON.parse(text);
    if (!book) return;
    const [symbol, number, [[bid]]] = book;
    seen.read += 1;
    // A missing book was replaced by a later one.
    if (numbers.has(symbol)) seen.replaced += number - numbers.get(symbol) - 1;
    numbers.set(symbol, number);
    seen.last = { symbol, number, bid };
  };
  socket.onclose = () => postMessage({ closed: true });
  setInterval(() => {
    postMessage(seen);
    seen = { read: 0, replaced: 0, last: seen.last };
  }, REPORT_EVERY_MS);
};
