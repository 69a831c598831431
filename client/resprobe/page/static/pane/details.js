// Details of one block, under its row: its numbers in words, and what can be done with it.

import { make, number } from "../dom.js";

/**
 * Describes a block.
 *
 * @param about block and model as the server describes them, the block's numbers, and `act(what)` for its buttons.
 */
export function details({ block, model, numbers, act }) {
  const button = (what, text, title) =>
    make("button", { type: "button", title, disabled: !model.has_block_scale, onclick: () => act(what) }, text);
  return make(
    "div",
    { class: "details", role: "group", "aria-label": `Details of ${block.name}` },
    make(
      "div",
      {},
      facts(block, model, numbers),
      make(
        "p",
        { class: "buttons" },
        button("remove", "Remove", "Set the factor on F(x) to 0: only the shortcut passes"),
        button("only", "Only this", "Remove every other block"),
        button("reset", "Reset", "Set the factor on F(x) back to 1"),
      ),
    ),
    make("div", { class: "inside" }),
  );
}

function facts(block, model, numbers) {
  const rows = [
    ["ratio ‖F(x)‖ / ‖s(x)‖", numbers.ratio],
    ["norm of the branch ‖F(x)‖", numbers.branch_l2],
    ["norm of the shortcut ‖s(x)‖", numbers.shortcut_l2],
    ["cosine of F(x) and s(x)", numbers.cosine],
    ["std of F(x)", numbers.branch_std],
    ["mean of F(x)", numbers.branch_mean],
  ];
  return make(
    "div",
    { class: "facts" },
    make(
      "p",
      {},
      `${block.name}: F(x) is made of ${branch(block.branch)}, the shortcut is ${shortcut(block.shortcut)}; `,
      `the sum has ${block.shape} values. `,
      verdict(model, numbers),
    ),
    make("dl", {}, ...rows.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, number(value))])),
  );
}

const branch = (kind) =>
  ({ conv: "convolutions", attention: "attention", mlp: "layers on each position" })[kind] ?? kind;
const shortcut = (kind) =>
  ({ identity: "x itself", pad: "x, strided and padded with zeros", projection: "a projection of x" })[kind] ?? kind;

/** Compares the ratio with the baseline, in words. */
function verdict(model, { ratio, band, mean }) {
  if (Number.isNaN(ratio)) return "Both norms are zero, so there is no ratio.";
  if (!band) return "The model has no baseline to compare with.";
  const where = ratio < band.low ? "below" : ratio > band.high ? "above" : "inside";
  const images = `${model.baseline_images.toLocaleString("en")} test images of ${model.dataset}`;
  const between = `${number(band.low)} to ${number(band.high)} (mean ${number(mean)})`;
  return `Its ratio of ${number(ratio)} lies ${where} the band of 80 % of the ${images}, ${between}.`;
}
