// Rows of blocks: a bar of the ratio over the baseline's band, a slider for the branch, and the details of an open row.

import { axis, dwarfs } from "./axis.js";
import { details } from "./details.js";
import { make, number, tickText } from "../dom.js";
import { numbersOf, words } from "./numbers.js";
import { point, unpoint } from "./tip.js";

const STEP = 0.05;
const COLOURS = 6;

const short = (block) => block.name.replace(/^stage\d+\./, "");

/** The blocks of one model. Calls `changed(name, factor)` for sliders and `act(what, name)` for buttons. */
export class Blocks {
  #model;
  #changed;
  #act;
  #rows = new Map();
  #ticks;
  #answer = null;
  #intact = null;
  axis = null;
  log = null; // null: logarithmic where one block dwarfs the rest

  constructor(model, changed, act) {
    this.#model = model;
    this.#changed = changed;
    this.#act = act;
    this.#ticks = make("div", { class: "axis", "aria-hidden": "true" });
    this.element = make(
      "div",
      { class: "blocks", role: "table", "aria-label": `Blocks of ${model.name}, from input to output` },
      this.#head(),
    );
    const longest = Math.max(5, ...model.blocks.map((block) => short(block).length));
    this.element.style.setProperty("--name", `calc(${longest}ch + 1.6rem)`);
    let stage = null;
    for (const block of model.blocks) {
      if (block.stage !== stage) this.element.append(this.#stage(block));
      stage = block.stage;
      this.element.append(...this.#row(block));
    }
  }

  #head() {
    return make(
      "div",
      { class: "row head", role: "row" },
      make("span", { role: "columnheader" }, "block"),
      make(
        "span",
        { role: "columnheader", class: "across" },
        make("span", { class: "hidden" }, "bar of the ratio"),
        this.#ticks,
      ),
      make("span", { role: "columnheader", class: "value" }, "ratio"),
      make("span", { role: "columnheader", class: "factor" }, "factor on F(x)"),
    );
  }

  #stage(block) {
    return make(
      "div",
      { class: "stage", role: "row", "data-colour": (block.stage - 1) % COLOURS },
      make("span", { role: "cell" }, `stage ${block.stage}`, make("span", { class: "quiet" }, `  ${block.shape}`)),
    );
  }

  #row(block) {
    const name = make(
      "button",
      {
        type: "button",
        class: "name",
        "aria-expanded": "false",
        "aria-label": block.name,
        onclick: () => this.toggle(block.name),
      },
      short(block),
    );
    const parts = Object.fromEntries(
      ["band", "hollow", "fill", "tick"].map((one) => [one, make("span", { class: one })]),
    );
    const bar = make(
      "span",
      { class: "bar", role: "cell", "aria-hidden": "true", onclick: () => this.toggle(block.name) },
      ...Object.values(parts),
    );
    const value = make("span", { class: "value", role: "cell" });
    const slider = make("input", {
      type: "range",
      min: 0,
      max: 1,
      step: STEP,
      value: 1,
      "aria-label": `factor on ${block.name}`,
      disabled: !this.#model.has_block_scale,
      oninput: () => {
        this.#showFactor(block.name, slider.valueAsNumber);
        this.#changed(block.name, slider.valueAsNumber);
      },
      onkeydown: (event) => {
        if (event.key === "Delete" || event.key === "Backspace") this.#act("remove", block.name);
      },
      ondblclick: () => this.#act("reset", block.name),
    });
    const output = make("output", {}, "1");
    const row = make(
      "div",
      {
        class: "row",
        role: "row",
        "data-colour": (block.stage - 1) % COLOURS,
        onpointerenter: (event) => {
          if (event.pointerType !== "touch") point(row, this.#words(block));
        },
        onpointerleave: unpoint,
      },
      make("span", { role: "rowheader" }, name),
      bar,
      value,
      make("span", { class: "factor", role: "cell" }, slider, output),
    );
    name.addEventListener("keydown", (event) => this.#step(event, block.name));
    name.addEventListener("focus", () => {
      if (name.matches(":focus-visible")) point(row, this.#words(block));
    });
    name.addEventListener("blur", unpoint);
    const under = make("div", { class: "under", role: "row", hidden: true });
    this.#rows.set(block.name, { block, row, name, value, slider, output, under, ...parts });
    return [row, under];
  }

  /** Moves from name to name with the arrow keys. */
  #step(event, name) {
    const names = [...this.#rows.keys()];
    const to = names[names.indexOf(name) + ({ ArrowDown: 1, ArrowUp: -1 }[event.key] ?? NaN)];
    if (!to) return;
    event.preventDefault();
    this.#rows.get(to).name.focus();
  }

  /** Opens a block's details, or closes them. */
  toggle(name, open = this.#rows.get(name)?.under.hidden) {
    for (const [other, one] of this.#rows) {
      const shown = open && other === name;
      one.under.hidden = !shown;
      one.name.setAttribute("aria-expanded", String(shown));
      one.under.replaceChildren(...(shown ? [make("div", { role: "cell" }, this.#details(one.block))] : []));
    }
    unpoint();
    this.#act("open", this.opened);
  }

  get opened() {
    return [...this.#rows].find(([, one]) => !one.under.hidden)?.[0] ?? null;
  }

  /** Shows the inside of the net under the block that is open. */
  showInside(name, element) {
    if (this.opened === name) this.#rows.get(name).under.querySelector(".inside").replaceWith(element);
  }

  #details(block) {
    return details({
      block,
      model: this.#model,
      numbers: this.numbers(block),
      act: (what) => this.#act(what, block.name),
    });
  }

  /** Shows the factors on branches. */
  scale(factors) {
    for (const name of this.#rows.keys()) {
      const factor = factors.get(name) ?? 1;
      this.#rows.get(name).slider.value = factor;
      this.#showFactor(name, factor);
    }
  }

  #showFactor(name, factor) {
    const one = this.#rows.get(name);
    one.output.textContent = factor === 0 ? "removed" : String(factor);
    one.row.classList.toggle("changed", factor !== 1);
  }

  /** Draws an answer; `intact` is that with all factors at 1, and `factors` are those of the answer. */
  show(answer, intact, factors) {
    this.#answer = answer.blocks;
    this.#intact = intact?.blocks ?? null;
    this.factors = factors;
    this.draw();
  }

  draw() {
    if (!this.#answer) return;
    const all = [...this.#rows.values()].map((one) => ({ one, ...this.numbers(one.block) }));
    this.logarithmic = this.log ?? dwarfs(all.map((each) => each.intact ?? each.ratio));
    this.axis = axis(
      all.flatMap(({ added, ratio, intact, band }) => [
        ratio,
        intact ?? NaN,
        band?.low ?? NaN,
        band?.high ?? NaN,
        added,
      ]),
      this.logarithmic,
    );
    for (const each of all) this.#drawRow(each);
    this.#ticks.replaceChildren(
      ...this.axis.ticks.map((tick) => {
        const mark = make("span", {}, tickText(tick));
        mark.style.left = `${100 * this.axis.at(tick)}%`;
        return mark;
      }),
    );
    const grid = this.axis.ticks.map(
      (tick) => `linear-gradient(var(--line), var(--line)) ${100 * this.axis.at(tick)}% 0 / 1px 100% no-repeat`,
    );
    this.element.style.setProperty("--grid", grid.join(", "));
    const opened = this.#rows.get(this.opened);
    if (opened) opened.under.querySelector(".facts").replaceWith(this.#details(opened.block).querySelector(".facts"));
  }

  #drawRow({ one, ratio, added, intact, band }) {
    const span = (part, from, to) => {
      part.hidden = !(to > from);
      part.style.left = `${100 * from}%`;
      part.style.width = `${100 * (to - from)}%`;
    };
    span(one.fill, 0, this.axis.at(added));
    span(one.hollow, 0, added === ratio ? 0 : this.axis.at(ratio));
    span(one.band, band ? this.axis.at(band.low) : 0, band ? this.axis.at(band.high) : 0);
    one.tick.hidden = intact === null || !Number.isFinite(intact);
    one.tick.style.left = `${100 * this.axis.at(intact)}%`;
    one.value.textContent = number(added);
  }

  /** Numbers of a block, as numbers.js describes them. */
  numbers(block) {
    return numbersOf(block, this.#answer, this.#intact, this.factors?.get(block.name) ?? 1);
  }

  #words(block) {
    return words(block, this.numbers(block));
  }
}
