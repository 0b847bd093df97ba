// The teacher's page: who is in the class, what each learner expects and sees, and the pace of the
// loop for all.

import { $, clock, count, element, has, setAttribute, setText, t } from "./page.js";
import { Socket } from "./socket.js";

const NEWS = 200;
const room = $("room");
const lessons = room.dataset.lessons.split(" ");

/** By number: { number, name, lesson, here, answers }, where answers are by lesson and question. */
const learners = new Map();
let pace = { held: false, steps: 0 };
let teaches = false;

const title = (lesson) => (has(`learn.${lesson}.title`) ? t(`learn.${lesson}.title`) : lesson === "list" ? t("learn.class.at_list") : lesson);
const ask = ({ lesson, question }) => (has(`learn.${lesson}.${question}.ask`) ? t(`learn.${lesson}.${question}.ask`) : question);
const chosen = ({ lesson, question }, choice) => (has(`learn.${lesson}.${question}.choices.${choice}`) ? t(`learn.${lesson}.${question}.choices.${choice}`) : choice);
const kind = ({ expected, happened }) => (happened === null ? "open" : expected === happened ? "right" : "wrong");

// ---- Drawing

function showCounts() {
  const all = [...learners.values()].flatMap(({ answers }) => [...answers.values()]);
  $("counts").replaceChildren(...lessons.map((lesson, at) => {
    const of = all.filter((answer) => answer.lesson === lesson);
    const number = (wanted) => element("td", { class: "number", "data-kind": wanted }, count(of.filter((answer) => kind(answer) === wanted).length));
    return element("tr", { "data-lesson": lesson }, element("th", { scope: "row" }, `${at + 1}. ${title(lesson)}`), number("right"), number("wrong"), number("open"));
  }));
}

function showLearners() {
  const sorted = [...learners.values()].sort((a, b) => b.here - a.here || a.number - b.number);
  $("nobody").hidden = sorted.length > 0;
  $("learners").replaceChildren(...sorted.map(({ name, lesson, here, answers }) => {
    const marks = [...answers.values()].map((answer) => element("i", { "data-kind": kind(answer) }));
    const of = (wanted) => [...answers.values()].filter((answer) => kind(answer) === wanted).length;
    return element("li", { "data-here": String(here) },
      element("b", {}, name), element("span", { class: "small soft" }, here ? title(lesson) : t("learn.class.gone")),
      element("span", { class: "marks", "aria-hidden": "true" }, ...marks),
      element("span", { class: "visually-hidden" }, t("learn.class.result", { right: of("right"), wrong: of("wrong") })));
  }));
}

function tellNews(learner, answer) {
  const isResult = answer.happened !== null;
  const text = isResult
    ? t("learn.class.saw", { name: learner.name, expected: chosen(answer, answer.expected), happened: chosen(answer, answer.happened) })
    : t("learn.class.expects", { name: learner.name, expected: chosen(answer, answer.expected) });
  $("news").prepend(element("li", { "data-kind": kind(answer) },
    element("time", {}, clock(new Date()).slice(0, 8)), element("span", {}, element("span", { class: "small soft" }, `${title(answer.lesson)}: ${ask(answer)}`), element("span", {}, text))));
  while ($("news").childElementCount > NEWS) $("news").lastElementChild.remove();
}

function showPace() {
  setAttribute($("hold"), "aria-pressed", pace.held);
  setAttribute($("free"), "aria-pressed", !pace.held);
  setAttribute($("step"), "aria-disabled", pace.held ? null : "true");
  setText($("pace"), pace.held ? t("learn.class.is_held", { count: pace.steps }) : t("learn.class.is_free"));
}

function showAll() {
  showCounts();
  showLearners();
  showPace();
}

// ---- The class

const socket = new Socket("/learn/class?teach");
const noteAnswer = (learner, answer) => learner.answers.set(`${answer.lesson}.${answer.question}`, answer);

const handlers = {
  class({ learners: all }) {
    room.hidden = false;
    learners.clear();
    for (const [person, answers] of all) {
      const learner = { ...person, answers: new Map() };
      for (const answer of answers) noteAnswer(learner, answer);
      learners.set(person.number, learner);
    }
  },
  learner(person) {
    learners.set(person.number, { answers: learners.get(person.number)?.answers ?? new Map(), ...person });
  },
  answer(answer) {
    const learner = learners.get(answer.number);
    if (!learner) return;
    noteAnswer(learner, answer);
    tellNews(learner, answer);
  },
  forgotten(number) { learners.delete(number); },
  pace(content) { pace = content; },
};

socket.onMessage = (data) => {
  const [[name, content]] = Object.entries(JSON.parse(data));
  handlers[name]?.(content);
  showAll();
};
socket.onClose = ({ reason }) => {
  if (reason !== "not here") return;
  socket.close();
  room.hidden = true;
  setText($("off"), room.dataset.class === "on" ? t("learn.class.not_here") : t("learn.class.off"));
  $("off").hidden = false;
};

// The loop is watched while it is held, and goes on when this page closes.
if (room.dataset.class === "on") {
  const loop = new Socket("/loop", { status: null });
  loop.onMessage = (data) => {
    if (typeof data !== "string") return;
    const { hello } = JSON.parse(data);
    if (hello) teaches = hello.teaches;
  };
  loop.onClose = () => { teaches = false; };
}

const say = (what) => { if (teaches) socket.send(JSON.stringify(what)); };
$("hold").addEventListener("click", () => say("hold"));
$("free").addEventListener("click", () => say("free"));
$("step").addEventListener("click", () => { if (pace.held) say("step"); });
showAll();
