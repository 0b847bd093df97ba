// The frame of all lessons: question, prediction, experiment, verdict.
//
// A lesson is a module `lesson-NAME.js`:
//
//     export default {
//       key: "mask",                         // NAME: its texts are below learn.NAME
//       questions: [{
//         key: "unmasked",                   // its texts are below learn.NAME.unmasked
//         choices: ["echo", "1002"],         // what may happen
//         build(stage) { … },                // fills stage.box with what the reader does
//       }],
//     };
//
// The texts of a question: `ask`, `choices.CHOICE`, `task` (what to do), `why` (the explanation
// after it). The reader chooses first. Then the stage opens: the reader does something, and the
// module calls `stage.conclude(CHOICE)` with what has really happened. Nothing else knows the right
// answer. Later calls change nothing, so the reader can go on and try other things.
//
// A stage has these:
//
//     stage.box                              // an element
//     await stage.run(steps, { within })     // an experiment of lab.js; null if it was not run
//     stage.show(run, steps)                 // draws it, in place of the last one
//     stage.problem("text")                  // why something did not work
//     stage.mayRun()                         // not while a teacher holds the loop; says why
//     stage.busy("text")                     // what takes so long, until the button's action ends
//     stage.button("text", action)           // a button that waits while the action runs
//     stage.conclude(choice)                 // the verdict; `null`: nothing of this fits
//     stage.toVerdict()                      // moves the focus: what has it is about to go
//     stage.announce("text")                 // for screen readers

import { sequence, story } from "./drawing.js";
import { Lab } from "./lab.js";
import * as learner from "./learner.js";
import { $, element, t } from "./page.js";
import { answers, forget, note } from "./progress.js";

const root = $("questions");
const name = root.dataset.lesson;
const { default: lesson } = await import(`./lesson-${name}.js`);
const lab = new Lab();

const text = (question, part) => t(`learn.${name}.${question.key}.${part}`);
const choiceText = (question, choice) => t(`learn.${name}.${question.key}.choices.${choice}`);

function announce(what) {
  $("announcer").textContent = what;
}

class Stage {
  box = element("div", { class: "stage-box" });
  #drawing = element("div", { class: "drawing" });
  #problem = element("p", { class: "problem", role: "alert" });
  #busy = element("p", { class: "busy small", role: "status" });
  #onConclude;
  #onLeave;

  constructor(onConclude, onLeave) {
    this.#onConclude = onConclude;
    this.#onLeave = onLeave;
    // Enter in a field does what the button below it does, as in a form.
    this.box.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.isComposing || !event.target.matches("input[type=text], input[type=number]")) return;
      this.box.querySelector("button.primary")?.click();
    });
  }

  get node() {
    return element("div", { class: "stage" }, this.box, this.#busy, this.#problem, this.#drawing);
  }

  announce = announce;

  async run(steps, options) {
    if (!this.mayRun()) return null;
    const run = await lab.run(steps, options);
    // While the loop is held, time goes on for the experiment, but not for the server.
    if (this.wasHeld()) run.refused = "meanwhile";
    if (run.refused) this.#problem.textContent = t(`learn.lesson.refused.${run.refused}`);
    else if (run.missed) this.#problem.textContent = t("learn.lesson.missed");
    else return run;
    return null;
  }

  /** Returns whether an experiment may begin. While a teacher holds the loop, it says why not. */
  mayRun() {
    this.problem("");
    learner.wasHeld();
    if (!learner.isHeld()) return true;
    const why = t("learn.lesson.refused.held");
    this.problem(why);
    learner.untilFree().then(() => { if (this.#problem.textContent === why) this.problem(""); });
    return false;
  }

  /** Returns whether a teacher has held the loop since the experiment began. */
  wasHeld() {
    return learner.wasHeld();
  }

  show(run, steps, options) {
    this.draw(sequence(story(run, steps, options)));
  }

  /** Says what takes so long. It goes when the action of the button has ended. */
  busy(text) {
    this.#busy.textContent = text;
  }

  /** Says why something did not work. */
  problem(text) {
    this.#problem.textContent = text;
  }

  /** Draws something, in place of the last drawing. */
  draw(...nodes) {
    this.#drawing.replaceChildren(...nodes);
  }

  /** A button. While its action runs, further clicks do nothing. */
  button(label, action, { id, kind = "primary" } = {}) {
    const node = element("button", { type: "button", class: kind, id }, label);
    let isRunning = false;
    node.addEventListener("click", async () => {
      if (isRunning) return;
      isRunning = true;
      node.setAttribute("aria-busy", "true");
      try {
        await action();
      } catch (error) {
        // A mistake of this page must not look like a dead button.
        this.problem(t("learn.lesson.refused.broken"));
        throw error;
      } finally {
        isRunning = false;
        this.busy("");
        node.removeAttribute("aria-busy");
      }
    });
    return node;
  }

  conclude(choice) {
    this.#onConclude(choice);
  }

  toVerdict() {
    this.#onLeave();
  }
}

/** Makes a question. */
function make(question, number) {
  const id = `question-${question.key}`;
  const given = answers(name)[question.key];
  let answer = given && question.choices.includes(given.chosen) && question.choices.includes(given.happened) ? given : null;
  const verdict = element("div", { class: "verdict", hidden: true, tabindex: "-1" });
  const locked = element("p", { class: "locked" }, t("learn.lesson.locked"));
  const doing = element("div", { class: "doing", hidden: true });
  const radios = question.choices.map((choice) => {
    const input = element("input", { type: "radio", name: id, value: choice, id: `${id}-${choice}` });
    input.addEventListener("change", () => {
      learner.expect(name, question.key, choice);
      unlock();
    });
    return input;
  });
  const labels = radios.map((input) => element("label", { class: "choice", for: input.id }, input, element("span", {}, choiceText(question, input.value))));
  const node = element("section", { class: "card question", id, "aria-labelledby": `${id}-ask` },
    element("h2", { id: `${id}-ask` }, element("span", { class: "question-number", "aria-hidden": "true" }, `${number}`), text(question, "ask")),
    element("fieldset", { class: "choices" }, element("legend", {}, t("learn.lesson.predict")), ...labels),
    locked, doing, verdict);
  let stage = null;

  function unlock() {
    if (stage) return;
    stage = new Stage(conclude, () => verdict.focus());
    question.build(stage);
    doing.replaceChildren(element("h3", {}, t("learn.lesson.do")), element("p", { class: "task" }, text(question, "task")), stage.node);
    doing.hidden = false;
    locked.hidden = true;
    announce(t("learn.lesson.unlocked"));
  }

  function conclude(happened) {
    if (answer) return;
    const chosen = radios.find((input) => input.checked).value;
    if (happened === null || !question.choices.includes(happened)) {
      say("none", t("learn.lesson.none"));
      return;
    }
    answer = { chosen, happened };
    note(name, lesson.questions.length, question.key, chosen, happened);
    learner.saw(name, question.key, happened);
    settle();
    announce(verdict.textContent);
  }

  function settle() {
    const { chosen, happened } = answer;
    const isRight = chosen === happened;
    for (const input of radios) {
      input.disabled = true;
      input.checked = input.value === chosen;
      const mark = input.value === happened ? "happened" : input.checked ? "wrong" : "other";
      input.parentElement.dataset.mark = mark;
    }
    say(isRight ? "right" : "wrong",
      isRight ? t("learn.lesson.right") : t("learn.lesson.wrong", { chosen: choiceText(question, chosen), happened: choiceText(question, happened) }),
      text(question, "why"));
  }

  function say(kind, first, why = "") {
    verdict.dataset.kind = kind;
    verdict.replaceChildren(element("p", { class: "verdict-first" }, first), ...(why ? [element("p", {}, why)] : []));
    verdict.hidden = false;
    if (kind === "none") announce(first);
  }

  if (answer) {
    radios.find((input) => input.value === answer.chosen).checked = true;
    unlock();
    settle();
    announce("");
  }
  return node;
}

function build() {
  root.replaceChildren(...lesson.questions.map((question, at) => make(question, at + 1)));
}

$("again").addEventListener("click", () => {
  forget(name);
  build();
  announce(t("learn.lesson.forgotten"));
  root.querySelector("input").focus();
});
build();
