// Draws a pane on a canvas: the picture, its classes, and the bars of its blocks over the baseline's band.

import { number, percent, tickText } from "../dom.js";

const WIDTH = 900,
  MARGIN = 24,
  ROW = 20,
  LABEL = 170,
  SCALE = 2;

/** Returns a canvas with what a pane shows. */
export async function draw(pane) {
  const rows = pane.answer.blocks ? pane.model.blocks.length : 0;
  const canvas = document.createElement("canvas");
  canvas.width = WIDTH * SCALE;
  canvas.height = (250 + (rows ? 60 + rows * ROW : 0)) * SCALE;
  const pen = canvas.getContext("2d");
  pen.scale(SCALE, SCALE);
  pen.fillStyle = colour("--paper");
  pen.fillRect(0, 0, WIDTH, canvas.height / SCALE);
  text(pen, pane.title, MARGIN, 34, "600 18px");
  text(pen, changes(pane), MARGIN, 56, "13px", "--quiet");
  await picture(pen, pane.picture.file);
  classes(pen, pane.answer.classes);
  if (rows) blocks(pen, pane);
  return canvas;
}

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function text(pen, words, x, y, size, ink = "--ink", align = "left") {
  pen.font = `${size} system-ui, sans-serif`;
  pen.fillStyle = colour(ink);
  pen.textAlign = align;
  pen.fillText(words, x, y, WIDTH - 2 * MARGIN);
}

function changes(pane) {
  const factors = [...(pane.blocks.factors ?? [])].map(([name, factor]) =>
    factor === 0 ? `without ${name}` : `${name} × ${factor}`,
  );
  return [pane.picture.name, ...factors].join(", ");
}

async function picture(pen, file) {
  if (!file) return;
  const bitmap = await createImageBitmap(file).catch(() => null);
  if (!bitmap) return; // the server may read what the browser does not
  const scale = 150 / Math.max(bitmap.width, bitmap.height);
  pen.imageSmoothingEnabled = scale < 1;
  pen.drawImage(bitmap, MARGIN, 76, bitmap.width * scale, bitmap.height * scale);
}

function classes(pen, found) {
  for (const [place, one] of found.entries()) {
    const y = 86 + 30 * place;
    text(pen, one.label, 340, y + 9, "14px", "--ink", "right");
    bar(pen, 352, y - 5, 440 * one.probability, 18, "--accent");
    text(pen, percent(one.probability), WIDTH - MARGIN, y + 9, "13px", "--quiet", "right");
  }
}

function bar(pen, x, y, width, height, ink) {
  pen.fillStyle = colour(ink);
  pen.fillRect(x, y, width, height);
}

function blocks(pen, pane) {
  const top = 290,
    across = WIDTH - 2 * MARGIN - LABEL - 70;
  const words = [
    "ratio ‖F(x)‖ / ‖s(x)‖",
    pane.blocks.logarithmic && "log axis",
    pane.model.dataset && `grey: 80 % of the test images of ${pane.model.dataset}`,
    pane.factors.size > 0 && "mark: with all blocks intact",
  ];
  text(pen, words.filter(Boolean).join("; "), MARGIN + LABEL, top - 34, "13px", "--quiet");
  for (const tick of pane.blocks.axis.ticks) {
    const x = MARGIN + LABEL + across * pane.blocks.axis.at(tick);
    text(pen, tickText(tick), x, top - 10, "11px", "--quiet", "center");
    bar(pen, x, top - 4, 1, ROW * pane.model.blocks.length + 4, "--line");
  }
  for (const [place, block] of pane.model.blocks.entries()) blockRow(pen, pane, block, top + place * ROW, across);
}

function blockRow(pen, pane, block, y, across) {
  const { added, band, intact } = pane.blocks.numbers(block);
  const at = (value) => MARGIN + LABEL + across * pane.blocks.axis.at(value);
  const left = MARGIN + LABEL;
  text(pen, block.name, left - 10, y + 14, "12px", "--ink", "right");
  if (band) bar(pen, at(band.low), y + 1, at(band.high) - at(band.low), ROW - 2, "--band");
  bar(pen, left, y + 5, at(added) - left, ROW - 10, `--stage${(block.stage - 1) % 6}`);
  if (intact !== null && Number.isFinite(intact)) bar(pen, at(intact) - 1, y + 2, 2, ROW - 4, "--ink");
  text(pen, number(added), WIDTH - MARGIN, y + 14, "12px", "--ink", "right");
}
