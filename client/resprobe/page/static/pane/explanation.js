// What a pane is about, and how its bars are read.

import { make, milliseconds } from "../dom.js";

/** Returns a sentence on the bars and their legend. */
export function explanation(model) {
  const sentence =
    "Every block computes F(x) + s(x). A bar shows how large its branch F(x) is against its shortcut s(x)" +
    (model.has_block_scale
      ? "; a slider scales F(x), and the answer follows."
      : ". The server cannot scale the blocks of this model.");
  const band = model.blocks[0]?.baseline ? `80 % of the test images of ${model.dataset}` : "no baseline was measured";
  const legend = [
    key("fill", "‖F(x)‖ / ‖s(x)‖ of this picture"),
    key("band", band),
    key("hollow", "before the factor", "changed-only"),
    key("tick", "with all blocks intact", "changed-only"),
  ];
  return [make("p", { class: "quiet" }, sentence), make("p", { class: "legend" }, ...legend)];
}

const key = (kind, text, when = "") =>
  make("span", { class: `${when} entry` }, make("span", { class: `key ${kind}` }), text);

/** Says what a model is, in a few words. */
export function facts(model) {
  const parts = [
    model.blocks.length ? `${model.blocks.length} blocks` : "no residual blocks",
    `${model.image[1]}×${model.image[0]} ${model.image[2] === 1 ? "grey" : "RGB"}`,
  ];
  if (model.precision && model.precision !== "float32") parts.push(model.precision);
  if (model.accuracy !== null) parts.push(`${(100 * model.accuracy).toFixed(1)} % right on ${model.dataset}`);
  return parts.join(", ");
}

/** Says what ran an answer, how long that took, and whether the picture was resized for it. */
export function timingWords(answer, model, resized) {
  const by = `${answer.provider.replace("ExecutionProvider", "")}, ${answer.precision || "unknown precision"}`;
  const times = `ran ${milliseconds(answer.inference)}, waited ${milliseconds(answer.queue)}`;
  const [height, width] = model.image;
  const size = resized ? `; the picture was resized from ${resized[1]}×${resized[0]} to ${width}×${height}` : "";
  return `${by}: ${times}${size}`;
}
