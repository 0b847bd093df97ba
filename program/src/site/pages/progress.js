// What the reader has answered in the lessons. It stays in this browser.

const KEY = "lariat-learn";

/** All lessons by name: `{ of: 3, answers: { QUESTION: { chosen, happened } } }`. */
function all() {
  try {
    const kept = JSON.parse(localStorage.getItem(KEY));
    return typeof kept === "object" && kept ? kept : {};
  } catch {
    // The browser keeps nothing, or somebody else has written this.
    return {};
  }
}

function keep(lessons) {
  try {
    localStorage.setItem(KEY, JSON.stringify(lessons));
  } catch {
    // The lesson works without it.
  }
}

/** Returns the answers of a lesson by question. */
export function answers(lesson) {
  const found = all()[lesson]?.answers;
  const isAnswer = ([, answer]) => typeof answer?.chosen === "string" && typeof answer?.happened === "string";
  return Object.fromEntries(Object.entries(found ?? {}).filter(isAnswer));
}

/** Notes an answer, and what happened. `of` is the number of questions. */
export function note(lesson, of, question, chosen, happened) {
  keep({ ...all(), [lesson]: { of, answers: { ...answers(lesson), [question]: { chosen, happened } } } });
}

/** Forgets the answers of a lesson. */
export function forget(lesson) {
  const { [lesson]: _, ...others } = all();
  keep(others);
}

/** Returns how far the reader is in a lesson: the numbers of questions, answers, right ones. */
export function progress(lesson) {
  const given = Object.values(answers(lesson));
  const of = Number(all()[lesson]?.of) || 0;
  return { of: Math.max(of, given.length), answered: given.length, right: given.filter(({ chosen, happened }) => chosen === happened).length };
}
