// Makes elements and numbers in words. Text is always a text node: nothing that a user or a server sends is markup.

export const find = (id) => document.getElementById(id);

/** Creates an element: attributes by name, listeners as functions under on…, texts and elements as children. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

/** Writes a number with three significant digits, as tables and plots of resprobe do. */
export function number(value) {
  if (Number.isNaN(value)) return "–";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  if (value === 0) return "0";
  const size = Math.abs(value);
  const digits = size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3;
  const text = size < 0.001 || size >= 100_000 ? value.toExponential(1) : value.toFixed(digits);
  return text.replace("-", "−");
}

/** Writes a number on an axis: as above, without zeros at its end. */
export const tickText = (value) =>
  number(value)
    .replace(/(\.\d*?)0+$/, "$1")
    .replace(/\.$/, "");

/** Writes a probability. */
export function percent(value) {
  const text = (100 * value).toFixed(1);
  return value > 0 && text === "0.0" ? "under 0.1 %" : value < 1 && text === "100.0" ? "over 99.9 %" : `${text} %`;
}

/** Writes seconds as milliseconds. */
export const milliseconds = (seconds) =>
  `${seconds < 0.01 ? (1000 * seconds).toFixed(1) : (1000 * seconds).toFixed(0)} ms`;

/** Says something to screen readers, once it has not been replaced for a moment. */
let speaking = 0;
export function speak(text) {
  clearTimeout(speaking);
  speaking = setTimeout(() => {
    find("spoken").textContent = text;
  }, 400);
}

/** Saves a file on the user's machine. */
export function save(name, blob) {
  const url = URL.createObjectURL(blob);
  make("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
