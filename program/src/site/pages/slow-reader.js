// A worker that reads order books, and does not read while it is told to be busy.
//
// The page says { url } once, and { busy: ms } as often as it likes. It is told { read, replaced,
// last } since the last time, a few times a second, and { closed: true } in the end.

const TELL_EVERY_MS = 250;

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
    // What is missing has been replaced by a later one.
    if (numbers.has(symbol)) seen.replaced += number - numbers.get(symbol) - 1;
    numbers.set(symbol, number);
    seen.last = { symbol, number, bid };
  };
  socket.onclose = () => postMessage({ closed: true });
  setInterval(() => {
    postMessage(seen);
    seen = { read: 0, replaced: 0, last: seen.last };
  }, TELL_EVERY_MS);
};
