// Numbers of one block in an answer, and the same in words.

import { number } from "../dom.js";

/**
 * Numbers of a block: `ratio` of its branch before the factor, `added` after it, and `intact`, its ratio with all
 * factors at 1, or null where the answer is that.
 */
export function numbersOf(block, answer, whole, factor) {
  const at = answer?.names.indexOf(block.name) ?? -1;
  const before = whole?.names.indexOf(block.name) ?? -1;
  const take = (name) => (at < 0 ? NaN : answer[name][at]);
  const band = block.baseline?.band ?? null;
  return {
    factor,
    ratio: take("ratio"),
    added: factor === 0 ? 0 : factor * take("ratio"),
    cosine: take("cosine"),
    branch_l2: take("branch_l2"),
    shortcut_l2: take("shortcut_l2"),
    branch_std: take("branch_std"),
    branch_mean: take("branch_mean"),
    intact: before < 0 || whole === answer ? null : whole.ratio[before],
    band: band && { low: Number(band.low), high: Number(band.high) },
    mean: block.baseline ? Number(block.baseline.mean) : NaN,
  };
}

/** Lines of a tooltip. */
export function words(block, { ratio, added, factor, intact, cosine, branch_l2, shortcut_l2, band }) {
  return [
    block.name,
    `‖F(x)‖ / ‖s(x)‖ = ${number(branch_l2)} / ${number(shortcut_l2)} = ${number(ratio)}`,
    ...(factor === 1 ? [] : [`with the factor ${factor}: ${number(added)}`]),
    ...(intact === null ? [] : [`with all blocks intact: ${number(intact)}`]),
    `cosine ${number(cosine)}`,
    ...(band ? [`baseline, 80 % of images: ${number(band.low)} to ${number(band.high)}`] : []),
  ];
}
