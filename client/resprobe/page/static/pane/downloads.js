// An answer as a file: JSON, CSV of the blocks, PNG of what the pane shows.

import { save } from "../dom.js";
import { draw } from "./figure.js";

const STATISTICS = ["ratio", "cosine", "branch_l2", "shortcut_l2", "branch_std", "branch_mean"];

const fileName = (pane, ending) =>
  `${pane.model.name}-${pane.model.version}-${pane.picture.name}`.replace(/[^\w.-]+/g, "-").slice(0, 80) + `.${ending}`;

/** Saves the whole answer with the factors that it is for. Numbers that JSON lacks are null. */
export function jsonFile(pane) {
  if (!pane.answer) return;
  const about = {
    picture: pane.picture.name,
    label: pane.picture.label,
    link: location.href,
    factors: Object.fromEntries(pane.blocks.factors ?? []),
    ...pane.answer,
  };
  save(fileName(pane, "json"), new Blob([JSON.stringify(about, null, 2)], { type: "application/json" }));
}

/** Saves one row for each block, or for each class where there are no blocks. */
export function csvFile(pane) {
  if (!pane.answer) return;
  const rows = pane.answer.blocks
    ? blockRows(pane)
    : [
        ["rank", "class", "label", "probability"],
        ...pane.answer.classes.map((one, place) => [place + 1, one.index, one.label, one.probability]),
      ];
  save(
    fileName(pane, "csv"),
    new Blob([rows.map((row) => row.map(cell).join(",")).join("\r\n"), "\r\n"], { type: "text/csv" }),
  );
}

function blockRows(pane) {
  const { blocks } = pane.answer;
  const head = [
    "model",
    "version",
    "block",
    "stage",
    "factor",
    ...STATISTICS,
    "baseline_ratio_mean",
    "baseline_ratio_low",
    "baseline_ratio_high",
  ];
  return [
    head,
    ...blocks.names.map((name, at) => {
      const known = pane.model.blocks.find((block) => block.name === name);
      const { mean = "", band = null } = known?.baseline ?? {};
      return [
        pane.model.name,
        pane.model.version,
        name,
        known?.stage ?? "",
        pane.blocks.factors?.get(name) ?? 1,
        ...STATISTICS.map((one) => blocks[one][at]),
        mean,
        band?.low ?? "",
        band?.high ?? "",
      ];
    }),
  ];
}

/** Quotes a cell, and keeps spreadsheets from reading text as a formula. */
function cell(value) {
  const text = typeof value === "string" && /^[=+@\t\r-]/.test(value) ? `'${value}` : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** Saves a picture of what the pane shows, in the colours of the page. */
export async function pngFile(pane) {
  if (!pane.answer) return;
  const canvas = await draw(pane);
  canvas.toBlob((blob) => save(fileName(pane, "png"), blob), "image/png");
}
