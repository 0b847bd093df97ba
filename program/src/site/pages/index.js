// Shows how many clients each app has, as the server counts them.

import { setAttribute, setText, t } from "./page.js";
import { Socket } from "./socket.js";

for (const node of document.querySelectorAll(".host")) node.textContent = location.host;
for (const node of document.querySelectorAll(".ws")) node.textContent = location.protocol === "https:" ? "wss" : "ws";

const socket = new Socket("/");
socket.onMessage = (data) => {
  const counts = JSON.parse(data);
  for (const node of document.querySelectorAll("[data-count]")) {
    const here = counts[node.dataset.count] ?? 0;
    setText(node, here ? t("index.here_now", { count: here }) : t("index.nobody"));
    setAttribute(node, "data-some", here ? "" : null);
  }
};
