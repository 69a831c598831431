// Tooltip with the numbers of a row, for the pointer and for keys.

import { find, make } from "../dom.js";

export function point(row, lines) {
  const tip = find("tip");
  tip.replaceChildren(...lines.map((line, place) => make(place ? "div" : "strong", {}, line)));
  tip.hidden = false;
  const { left, top, bottom } = row.getBoundingClientRect();
  const room = Math.max(8, Math.min(left + 96, innerWidth - tip.offsetWidth - 8));
  const below = bottom + 4 + tip.offsetHeight < innerHeight;
  tip.style.left = `${room}px`;
  tip.style.top = `${below ? bottom + 4 : top - tip.offsetHeight - 4}px`;
}

export function unpoint() {
  find("tip").hidden = true;
}

addEventListener("keydown", (event) => {
  if (event.key === "Escape") unpoint();
});
addEventListener("scroll", unpoint, { passive: true });
