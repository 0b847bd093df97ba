// The list of lessons, and how far the reader is.

import { element, t } from "./page.js";
import "./learner.js";
import { progress } from "./progress.js";

function show() {
  for (const link of document.querySelectorAll("[data-lesson]")) {
    const { of, answered, right } = progress(link.dataset.lesson);
    const label = link.querySelector(".lesson-progress");
    link.dataset.state = answered === 0 ? "new" : answered < of ? "begun" : "done";
    const text = answered === 0 ? t("learn.list.new") : answered < of ? t("learn.list.begun", { answered, of, right }) : t("learn.list.done", { of, right });
    label.replaceChildren(text, ...(answered ? [meter(of, answered, right)] : []));
  }
}

/** A bar for the eye. The text beside it says the same. */
function meter(of, answered, right) {
  const kind = (at) => (at < right ? "right" : at < answered ? "wrong" : "open");
  return element("span", { class: "meter", "aria-hidden": "true" }, ...Array.from({ length: of }, (_, at) => element("i", { "data-kind": kind(at) })));
}

show();
// Another tab, or a page that comes back from the browser's cache.
addEventListener("storage", show);
addEventListener("pageshow", show);
