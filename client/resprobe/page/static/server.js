// Live state of the server, on top of the page.

import * as api from "./api.js";
import { find, make, milliseconds } from "./dom.js";

const EVERY = 2000; // milliseconds
let before = null;

/** Shows the server's state and keeps it up to date; `changed(serving, names)` is called after each look. */
export function watch(address, models, changed) {
  const look = async () => {
    if (document.visibilityState === "visible") await refresh(address(), models(), changed);
    setTimeout(look, EVERY);
  };
  look();
}

async function refresh(address, models, changed) {
  let state;
  try {
    state = await api.state();
  } catch (failure) {
    state = { status: "unreachable", message: failure.message, counters: null };
  }
  const serving = state.status === "SERVING";
  find("light").className = serving ? "on" : "off";
  const rates = serving ? rate(state) : null;
  const text = serving ? `${address} serves ${summary(models, rates)}` : `Not serving: ${state.message}`;
  if (find("state").textContent !== text) find("state").textContent = text;
  find("server").classList.toggle("gone", !serving);
  find("served").replaceChildren(...table(models, rates));
  changed(serving, state.counters ? new Set(state.counters.map((one) => `${one.model}/${one.version}`)) : null);
}

/** Says in one line what is served, by what, how fast, and how long requests wait. */
function summary(models, rates) {
  const each = (of) => [...new Set(models.map(of).filter(Boolean))].join(" and ");
  const providers = each((one) => one.provider.replace("ExecutionProvider", ""));
  const versions = `${models.length} version${models.length === 1 ? "" : "s"}`;
  const parts = [providers ? `${versions} on ${providers}` : versions, each((one) => one.precision)];
  const known = rates ? [...rates.values()] : [];
  if (rates) parts.push(`${known.reduce((sum, one) => sum + one.images, 0).toFixed(1)} images/s`);
  const waits = known.map((one) => one.wait).filter((wait) => wait !== null);
  if (waits.length) parts.push(`wait ${milliseconds(Math.max(...waits))}`);
  return parts.filter(Boolean).join(", ");
}

/** Rates since the state before, by model and version; null where there is none. */
function rate(state) {
  const last = before;
  before = state;
  if (!state.counters || !last?.counters || state.seconds <= last.seconds) return null;
  const known = new Map(last.counters.map((one) => [`${one.model}/${one.version}`, one]));
  const seconds = state.seconds - last.seconds;
  return new Map(
    state.counters.map((one) => {
      const name = `${one.model}/${one.version}`;
      const old = known.get(name) ?? one;
      const requests = one.requests - old.requests;
      const fresh = one.images >= old.images; // loaded again since, if not
      return [
        name,
        {
          images: fresh ? (one.images - old.images) / seconds : 0,
          wait: fresh && requests > 0 ? (one.queue - old.queue) / requests : null,
          failed: one.failed,
        },
      ];
    }),
  );
}

function table(models, rates) {
  const head = make(
    "tr",
    {},
    ...["model", "version", "provider", "precision", "images/s", "wait in queue", "failed"].map((one) =>
      make("th", { scope: "col" }, one),
    ),
  );
  return [
    make("thead", {}, head),
    make(
      "tbody",
      {},
      ...models.map((model) => {
        const one = rates?.get(`${model.name}/${model.version}`);
        const cells = [
          model.name,
          `${model.version}${model.is_default ? " (default)" : ""}`,
          model.provider.replace("ExecutionProvider", ""),
          model.precision || "–",
          one ? one.images.toFixed(1) : "–",
          one?.wait != null ? milliseconds(one.wait) : "–",
          one ? String(one.failed) : "–",
        ];
        return make("tr", {}, ...cells.map((cell) => make("td", {}, cell)));
      }),
    ),
  ];
}
