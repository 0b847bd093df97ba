// A learner in a class. The page has a place for this if it is on a server with --classroom: one
// enters a name, and the teacher sees what one expects and what happens.

import { $, element, randomId, setText, t } from "./page.js";
import { answers } from "./progress.js";
import { Socket } from "./socket.js";

const place = $("class");
const lesson = $("questions")?.dataset.lesson ?? "list";

let socket = null;
let hasJoined = false;
let held = false;
let heldSince = false;
/** What is called when the loop goes on. */
let waiting = [];

/** Returns whether the page belongs to a learner in a class. */
export const isInClass = () => hasJoined;

/** Returns whether the teacher holds the loop. */
export const isHeld = () => held;

/** Waits until the teacher holds the loop no more. */
export const untilFree = () => (held ? new Promise((resolve) => { waiting.push(resolve); }) : Promise.resolve());

function setHeld(isHeld) {
  held = isHeld;
  heldSince ||= held;
  if (held) return;
  for (const goOn of waiting) goOn();
  waiting = [];
}

/** Returns whether the teacher has held the loop since the last call. */
export function wasHeld() {
  const was = heldSince;
  heldSince = held;
  return was;
}

const tell = (kind, of, question, choice) => { if (hasJoined) socket.send(JSON.stringify({ [kind]: { lesson: of, question, choice } })); };

/** Tells the teacher what the learner expects. */
export const expect = (of, question, choice) => tell("expect", of, question, choice);

/** Tells the teacher what really happened. */
export const saw = (of, question, choice) => tell("saw", of, question, choice);

/** What this tab remembers. Without a memory, one enters the name in each lesson. */
const remembered = (name) => {
  try {
    return sessionStorage.getItem(name);
  } catch {
    return null;
  }
};
function remember(name, value) {
  try {
    sessionStorage.setItem(name, value);
  } catch {
    // It works without.
  }
}

function join(name) {
  const key = remembered("lariat-class-key") ?? randomId();
  remember("lariat-class-key", key);
  remember("lariat-class-name", name);
  socket.send(JSON.stringify({ join: { name, key, lesson } }));
}

function show() {
  const pace = element("p", { class: "class-pace", role: "status" });
  const who = element("p", { class: "small", role: "status", tabindex: "-1" });
  const input = element("input", { id: "class-name", type: "text", maxlength: "32", autocomplete: "nickname", required: true, value: remembered("lariat-class-name") ?? "" });
  const form = element("form", { id: "class-form" },
    element("label", { for: "class-name" }, t("learn.learner.name")),
    element("div", { class: "row" }, element("div", { class: "grow" }, input), element("button", { type: "submit", class: "primary" }, t("learn.learner.join"))),
    element("p", { class: "small soft" }, t("learn.learner.seen")));
  place.classList.add("card", "class-bar");
  place.replaceChildren(form, who, pace);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (input.value.trim()) join(input.value.trim());
  });

  socket = new Socket("/learn/class", { status: null });
  socket.onOpen = () => { if (remembered("lariat-class-name")) join(remembered("lariat-class-name")); };
  socket.onClose = ({ code, reason }) => {
    hasJoined = false;
    setHeld(false);
    if (code === 1008 || reason === "elsewhere") socket.close();
    form.hidden = false;
    setText(who, reason === "full" ? t("learn.learner.full") : reason === "elsewhere" ? t("learn.learner.elsewhere") : "");
    setText(pace, "");
  };
  socket.onMessage = (data) => {
    const [[kind, content]] = Object.entries(JSON.parse(data));
    if (kind === "number") {
      hasJoined = true;
      setText(who, t("learn.learner.joined", { name: remembered("lariat-class-name") ?? input.value }));
      if (form.contains(document.activeElement)) who.focus();
      form.hidden = true;
      // What was answered before.
      for (const [question, { chosen, happened }] of Object.entries(answers(lesson))) {
        expect(lesson, question, chosen);
        saw(lesson, question, happened);
      }
    }
    if (kind === "pace") {
      setHeld(content.held);
      place.dataset.held = held;
      setText(pace, held ? t("learn.learner.held", { count: content.steps }) : "");
    }
  };
}

if (place?.dataset.class === "on") show();
