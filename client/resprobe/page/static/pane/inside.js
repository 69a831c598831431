// The inside of the net for an open block: where F(x) and s(x) are large, in which channels, and what readouts say.

import { make, number, percent } from "../dom.js";
import { heatMap } from "../picture/heat.js";

/**
 * Describes the inside of a net in a few figures.
 *
 * @param about the answer of the page's server, the picture's file, and the model
 */
export async function inside({ found, file, model }) {
  const { maps, channels, readouts, cam, block } = found;
  const parts = [];
  const heat = (values, height, width, caption) =>
    heatMap({ file, values, height, width, image: model.image, resize: model.resize, caption });
  const images = [];
  if (maps && maps.width > 1)
    images.push(
      await heat(maps.branch, maps.height, maps.width, "‖F(x)‖ by position,"),
      await heat(maps.shortcut, maps.height, maps.width, "‖s(x)‖ by position,"),
    );
  if (cam && cam.width > 1)
    images.push(
      await heat(cam.of[0].values, cam.height, cam.width, `what speaks for ${cam.of[0].label} at the end of the net,`),
    );
  if (images.length) parts.push(make("div", { class: "heats" }, ...images));
  if (channels) parts.push(channelBars(channels));
  if (readouts && readouts.of.length) parts.push(readoutPath(readouts, block, model));
  return make("div", { class: "inside" }, ...parts);
}

const SHOWN = 3;

/** Draws ‖F_c‖ of every channel over ‖s_c‖. */
function channelBars({ branch, shortcut }) {
  const [f, s] = [branch.map(Number), shortcut.map(Number)];
  const order = f.map((_, at) => at).sort((one, other) => f[other] - f[one]);
  const best = order
    .slice(0, SHOWN)
    .map((at) => `${at} (${number(f[at])})`)
    .join(", ");
  const caption = `Channels: F(x) is largest in ${best}, of ${f.length}.`;
  const canvas = make("canvas", { class: "channels", role: "img", "aria-label": caption });
  canvas.width = 1024;
  canvas.height = 96;
  const pen = canvas.getContext("2d");
  const style = getComputedStyle(document.documentElement);
  const most = Math.max(...f, ...s.filter(Number.isFinite), Number.MIN_VALUE);
  const step = canvas.width / f.length;
  for (const [values, ink, width] of [
    [s, "--band", 1],
    [f, "--accent", 0.6],
  ]) {
    pen.fillStyle = style.getPropertyValue(ink);
    values.forEach((value, at) => {
      const size = Math.min(1, value / most) * canvas.height;
      pen.fillRect(
        (at + (1 - width) / 2) * step,
        canvas.height - size,
        Math.max(step * width - (step > 4 ? 1 : 0), 0.5),
        size,
      );
    });
  }
  return make(
    "figure",
    {},
    canvas,
    make("figcaption", {}, caption, make("span", { class: "quiet" }, " Blue: ‖F(x)‖ of each channel; grey: ‖s(x)‖.")),
  );
}

/** Lists what the net would say if it ended after a block, and from where on it says what it says at the end. */
function readoutPath({ of, depth }, block, model) {
  const name = model.blocks[depth]?.name ?? "";
  const open = of.find((one) => one.block === block);
  const says = open
    ? `If the net ended here it would say ${open.label} (${percent(open.probability)}). `
    : "No answer is read off this block. ";
  const steps = runs(of).map((run) => {
    const [first, last] = [run[0], run.at(-1)];
    const where = run.length > 1 ? `${first.block} to ${last.block}` : first.block;
    const least = run.reduce((one, other) => (other.probability < one.probability ? other : one));
    const most = run.reduce((one, other) => (other.probability > one.probability ? other : one));
    const [low, high] = [percent(least.probability), percent(most.probability)];
    const sure = low === high ? low : `${low} to ${high}`;
    const here = run.some((one) => one.block === block) ? "here" : null;
    return make("li", { class: here }, make("span", { class: "quiet" }, `${where} `), `${first.label}, ${sure}`);
  });
  return make(
    "div",
    { class: "readouts" },
    make("p", {}, says, `From ${name} on, all readouts agree with the final answer.`),
    make("ol", { "aria-label": "What the net would say if it ended after a block" }, ...steps),
    make("p", { class: "quiet" }, readers(of)),
  );
}

/** Says which head reads which blocks: the net's own was not trained to read others than the last. */
function readers(readouts) {
  const own = readouts.find((one) => one.head === "own");
  const fitted = readouts.some((one) => one.head === "fitted");
  const before = fitted ? "Linear heads, fitted on training images, read the blocks before. " : "";
  if (!own) return "";
  const trained = "it was trained to read the last block only, and may misread others.";
  return `${before}From ${own.block} on the net's own head reads: ${trained}`;
}

/** Joins neighbours that say the same. */
function runs(readouts) {
  const found = [];
  for (const one of readouts) {
    if (found.at(-1)?.[0].label === one.label) found.at(-1).push(one);
    else found.push([one]);
  }
  return found;
}
