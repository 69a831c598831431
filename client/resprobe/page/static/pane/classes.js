// The best classes of an answer as bars, and the same in one line.

import { make, percent, speak } from "../dom.js";

/** The classes of one pane. */
export class Classes {
  constructor() {
    this.verdict = make("p", { class: "verdict" }, "…");
    this.element = make("ol", { class: "classes", "aria-label": "Best classes" });
  }

  /**
   * Shows an answer.
   *
   * @param answer as the page's server sent it
   * @param intact the answer with all blocks intact, or the same
   * @param label the right class, or null where it is not known
   */
  show(answer, intact, label) {
    const [best] = answer.classes;
    const right = label === null ? null : best.label === label;
    const before = intact && intact !== answer ? intact.classes[0] : null;
    const was = before && `${before.label === best.label ? "" : `${before.label}, `}${percent(before.probability)}`;
    this.verdict.replaceChildren(
      make("strong", {}, best.label),
      `, ${percent(best.probability)}`,
      right === null
        ? ""
        : make("span", { class: right ? "right" : "wrong" }, right ? " ✓ right" : ` ✗ it is ${label}`),
      was && was !== percent(best.probability)
        ? make("span", { class: "quiet" }, `; with all blocks intact ${was}`)
        : "",
    );
    this.element.replaceChildren(
      ...answer.classes.map((one) =>
        this.#row(one, before && intact.classes.find((each) => each.index === one.index), one.label === label),
      ),
    );
    speak(`${answer.model}: ${this.verdict.textContent}`);
  }

  #row(one, before, right) {
    const fill = make("span", { class: "fill" });
    fill.style.width = `${100 * one.probability}%`;
    const tick = make("span", { class: "tick", hidden: !before });
    if (before) tick.style.left = `${100 * before.probability}%`;
    return make(
      "li",
      {},
      make("span", { class: right ? "label right" : "label", title: one.label }, one.label),
      make("span", { class: "bar" }, fill, tick),
      make("span", { class: "value" }, percent(one.probability)),
    );
  }
}
