// One model's answer to the picture: classes, blocks with sliders, and its downloads.

import { Latest, classify, inspect } from "../api.js";
import { Blocks } from "./blocks.js";
import { Classes } from "./classes.js";
import { make, milliseconds } from "../dom.js";
import { csvFile, jsonFile, pngFile } from "./downloads.js";
import { explanation, facts, timingWords } from "./explanation.js";
import { inside } from "./inside.js";

/** A pane asks the server itself; `events` has `scaled(pane, name, factor)`, `changed()` and `again(failure)`. */
export class Pane {
  #events;
  #latest = new Latest();
  #looks = new Latest();
  #intact = null;
  #picture = null;
  #answered = null;
  #classes = new Classes();
  #parts;
  factors = new Map();
  answer = null;
  failed = null;

  constructor(model, events) {
    this.model = model;
    this.title = `${model.name} version ${model.version}`;
    this.#events = events;
    this.blocks = new Blocks(
      model,
      (name, factor) => this.set(name, factor, true),
      (what, name) => this.#act(what, name),
    );
    const button = (text, label, press) =>
      make("button", { type: "button", "aria-label": label, onclick: press }, text);
    this.#parts = {
      trouble: make("p", { class: "trouble", role: "alert", hidden: true }),
      note: make("p", { class: "note", hidden: true }),
      timing: make("p", { class: "quiet timing" }),
      log: make("input", { type: "checkbox", onchange: () => this.setLog(this.#parts.log.checked) }),
      reset: make("button", { type: "button", disabled: true, onclick: () => this.#act("all") }, "Reset all"),
      downloads: make(
        "span",
        { class: "downloads" },
        "Download ",
        button("JSON", "Download JSON", () => jsonFile(this)),
        button("CSV", "Download CSV", () => csvFile(this)),
        button("PNG", "Download PNG", () => pngFile(this)),
      ),
    };
    this.element = make("section", { class: "pane", "aria-label": this.title }, ...this.#build());
  }

  #build() {
    const { trouble, note, timing, log, reset, downloads } = this.#parts;
    const shown = this.model.has_blocks && this.model.blocks.length > 0;
    const tools = make("p", { class: "tools" }, reset, make("label", {}, log, " log axis"));
    this.#parts.chart = make("div", { hidden: !shown }, ...explanation(this.model), tools, this.blocks.element);
    return [
      make("h2", {}, this.title, make("span", { class: "quiet" }, ` ${facts(this.model)}`)),
      this.#classes.verdict,
      trouble,
      note,
      this.#classes.element,
      this.#parts.chart,
      make("p", { class: "tools" }, downloads),
      timing,
    ];
  }

  get picture() {
    return this.#picture;
  }
  get intact() {
    return this.#intact;
  }
  get log() {
    return this.blocks.log;
  }

  /** Asks about another picture: { key(), name, label }. */
  ask(picture) {
    this.#picture = picture;
    this.#intact = null;
    this.#request();
  }

  /** Asks again, as after an error. */
  retry() {
    if (this.#picture) this.#request();
  }

  /** Sets the factor on a branch. */
  set(name, factor, byUser = false) {
    if (!this.model.blocks.some((block) => block.name === name)) return;
    if (factor === 1) this.factors.delete(name);
    else this.factors.set(name, factor);
    if (byUser) this.#events.scaled(this, name, factor);
    this.#request();
    this.#events.changed();
  }

  /** Sets the factors on all branches; those that are not named are 1. */
  setAll(factors) {
    this.factors = new Map(
      [...factors].filter(([name, factor]) => factor !== 1 && this.model.blocks.some((block) => block.name === name)),
    );
    this.blocks.scale(this.factors);
    this.#request();
  }

  setLog(log) {
    this.blocks.log = log;
    this.#parts.log.checked = log;
    this.blocks.draw();
    this.#events.changed();
  }

  #act(what, name) {
    if (what === "open") {
      this.#lookInside();
      this.#events.changed();
      return;
    }
    const others = () =>
      new Map(this.model.blocks.filter((block) => block.name !== name).map((block) => [block.name, 0]));
    const factors = {
      remove: () => new Map(this.factors).set(name, 0),
      only: others,
      reset: () => new Map(this.factors).set(name, 1),
      all: () => new Map(),
    }[what]();
    this.setAll(factors);
    for (const block of this.model.blocks) this.#events.scaled(this, block.name, this.factors.get(block.name) ?? 1);
    this.#events.changed();
  }

  #request() {
    this.#parts.reset.disabled = this.factors.size === 0;
    this.element.classList.toggle("scaled", this.factors.size > 0);
    if (this.#picture) this.#latest.run(() => this.#run());
  }

  async #run() {
    const picture = this.#picture;
    try {
      const key = await picture.key();
      if (!this.#intact) {
        const intact = await this.#classify(key, null);
        if (picture === this.#picture) this.#intact = intact;
      }
      const factors = new Map(this.factors);
      const answer = factors.size ? await this.#classify(key, this.#scale(factors)) : this.#intact;
      if (picture !== this.#picture || !answer) return;
      this.#show(answer, factors, picture);
    } catch (failure) {
      if (failure.kind === "PictureForgotten" && picture.forget()) {
        this.retry();
        return;
      }
      this.#fail(failure);
    }
  }

  #classify(picture, scale) {
    return classify({ picture, model: this.model.name, version: this.model.version, scale });
  }

  /** Asks for the inside of the net after the bars are drawn, so that they do not wait for it. */
  #lookInside() {
    if (this.answer && this.blocks.opened && this.model.views.some((view) => view !== "blocks"))
      this.#looks.run(() => this.#look());
  }

  async #look() {
    const [picture, block, factors] = [this.#picture, this.blocks.opened, this.blocks.factors];
    if (!block) return;
    try {
      const scale = factors.size ? this.#scale(factors) : null;
      const { name: model, version, views } = this.model;
      const found = await inspect({
        picture: await picture.key(),
        model,
        version,
        scale,
        block,
        views: views.filter((view) => view !== "blocks"),
      });
      const element = await inside({ found, file: picture.file, model: this.model });
      if (picture === this.#picture) this.blocks.showInside(block, element);
    } catch (failure) {
      this.blocks.showInside(block, make("p", { class: "inside note" }, failure.message));
    }
  }

  #scale(factors) {
    return this.model.blocks.map((block) => factors.get(block.name) ?? 1);
  }

  #show(answer, factors, picture) {
    const { trouble, note, timing, chart, downloads } = this.#parts;
    this.answer = answer;
    this.#answered = picture;
    this.failed = null;
    this.element.classList.remove("failed");
    trouble.hidden = true;
    note.hidden = !answer.note && this.model.has_blocks;
    note.textContent = answer.note
      ? `Only the classes are shown: ${answer.note}`
      : `Only the classes are shown: ${this.model.name} has no residual blocks.`;
    chart.hidden = !answer.blocks;
    for (const part of [downloads, this.#classes.element, this.#classes.verdict]) part.hidden = false;
    this.#classes.show(answer, this.#intact, picture.dataset === this.model.dataset ? picture.label : null);
    if (answer.blocks) {
      this.blocks.show(answer, this.#intact, factors);
      this.#parts.log.checked = this.blocks.logarithmic;
      this.#lookInside();
    }
    timing.textContent = timingWords(answer, this.model, this.#intact?.resized_from);
    this.element.dataset.answers = Number(this.element.dataset.answers ?? 0) + 1;
  }

  #fail(failure) {
    this.failed = failure;
    this.element.classList.add("failed");
    if (this.#answered !== this.#picture) {
      // what is shown is not about this picture
      this.answer = null;
      const { note, chart, downloads, timing } = this.#parts;
      for (const part of [note, chart, downloads, this.#classes.element, this.#classes.verdict]) part.hidden = true;
      timing.textContent = "";
    }
    this.#parts.trouble.textContent = failure.message;
    this.#parts.trouble.hidden = false;
  }
}
