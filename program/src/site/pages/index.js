// Shows how many clients each app has, as the server counts them.

import { count, setAttribute, setText } from "./page.js";
import { Socket } from "./socket.js";

for (const node of document.querySelectorAll(".host")) node.textContent = location.host;
for (const node of document.querySelectorAll(".ws")) node.textContent = location.protocol === "https:" ? "wss" : "ws";

const socket = new Socket("/");
socket.onMessage = (data) => {
  const counts = JSON.parse(data);
  for (const node of document.querySelectorAll("[data-count]")) {
    const here = counts[node.dataset.count] ?? 0;
    setText(node, here ? `${count(here)} here now` : "nobody yet");
    setAttribute(node, "data-some", here ? "" : null);
  }
};
