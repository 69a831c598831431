// The page: which picture is shown to which models, and the link that says so.

import * as api from "./api.js";
import { find, make } from "./dom.js";
import * as link from "./link.js";
import { Pane } from "./pane/pane.js";
import * as pictures from "./picture/pictures.js";
import { watch } from "./server.js";

const page = { address: "", models: [], picture: null, panes: [], examples: [], names: null, written: "" };
const name = (model) => `${model.name}/${model.version}`;

const events = {
  changed: () => writeLink(),
  scaled(pane, block, factor) {
    if (!find("linked").checked) return;
    for (const other of page.panes)
      if (other !== pane && (other.factors.get(block) ?? 1) !== factor)
        other.setAll(new Map(other.factors).set(block, factor));
  },
};

/** Fetches the models and fills the lists to choose from; whether it worked. */
async function loadModels() {
  try {
    const found = await api.models();
    Object.assign(page, found);
  } catch (failure) {
    find("panes").replaceChildren(make("p", { class: "trouble", role: "alert" }, failure.message));
    page.models = [];
    page.panes = [];
    return false;
  }
  const options = () =>
    page.models.map((model) => make("option", { value: name(model) }, `${model.name} version ${model.version}`));
  const chosen = [find("first").value, find("second").value];
  find("first").replaceChildren(...options());
  find("second").replaceChildren(make("option", { value: "" }, "nothing"), ...options());
  find("second").value = chosen[1];
  find("first").value = page.models.some((model) => name(model) === chosen[0]) ? chosen[0] : first();
  if (!page.models.length)
    find("panes").replaceChildren(
      make("p", { class: "note" }, "The server serves no models. As soon as it has one, it is shown here."),
    );
  return page.models.length > 0;
}

/** Returns the model to begin with: a default version with blocks, and with examples, if there is one. */
function first() {
  const good = page.models.filter((model) => model.is_default && model.has_blocks);
  const best =
    good.find((model) => page.examples.some((one) => one.dataset === model.dataset)) ?? good[0] ?? page.models[0];
  return best ? name(best) : "";
}

/** Makes the panes of the chosen models; those that are there stay as they are. */
function arrange() {
  const wanted = [find("first").value, find("second").value]
    .map((value) => page.models.find((model) => name(model) === value))
    .filter(Boolean);
  page.panes = wanted.map((model, place) => {
    const old = page.panes[place];
    if (old?.model === model) return old;
    const pane = new Pane(model, events);
    if (page.picture) pane.ask(page.picture);
    return pane;
  });
  find("together").hidden = page.panes.length < 2;
  find("panes").classList.toggle("two", page.panes.length === 2);
  find("panes").replaceChildren(...page.panes.map((pane) => pane.element));
}

function use(picture) {
  page.picture = picture;
  pictures.show(picture);
  for (const pane of page.panes) pane.ask(picture);
  writeLink();
}

let writing = 0;
function writeLink() {
  clearTimeout(writing);
  writing = setTimeout(async () => {
    if (!page.panes.length) return;
    const [one, two] = page.panes;
    const fields = {
      model: name(one.model),
      scale: link.scaleText(one.factors),
      open: one.blocks.opened,
      log: one.log === null ? null : Number(one.log),
      with: two ? name(two.model) : null,
      scale2: two ? link.scaleText(two.factors) : null,
    };
    try {
      link.write({ ...fields, ...(page.picture ? await link.pictureFields(page.picture) : {}) });
    } catch {
      link.write(fields); // the picture was refused, as its pane says
    }
    page.written = location.hash;
  }, 150);
}

/** Shows what the link says. */
async function follow() {
  const fields = link.read();
  const known = (value) => page.models.some((model) => name(model) === value);
  if (known(fields.model)) find("first").value = fields.model;
  find("second").value = known(fields.with) ? fields.with : "";
  arrange();
  for (const [pane, suffix] of [
    [page.panes[0], ""],
    [page.panes[1], "2"],
  ]) {
    if (!pane) continue;
    if (fields[`scale${suffix}`]) pane.setAll(link.scaleMap(fields[`scale${suffix}`]));
  }
  const [pane] = page.panes;
  if (pane && fields.log !== undefined) pane.setLog(fields.log === "1");
  if (pane && fields.open && pane.model.blocks.some((block) => block.name === fields.open))
    pane.blocks.toggle(fields.open, true);
  const missing = [fields.model, fields.with].filter((value) => value && !known(value));
  pictures.complain(
    missing.length ? `The server does not serve ${missing.join(" and ")}, which the link names.` : null,
  );
  await followPicture(fields);
}

async function followPicture(fields) {
  const file = fields.data ? link.embedded(fields.data) : null;
  if (file) return use(new pictures.Picture({ file, name: fields.name || "picture of the link" }));
  if (fields.picture) {
    try {
      return use(
        new pictures.Picture({
          file: await api.pictureFile(fields.picture),
          name: fields.name || "picture of the link",
        }),
      );
    } catch {
      pictures.complain("The page no longer has the picture of this link: drop or choose it again.");
    }
  }
  const place = Number(fields.example ?? startingExample());
  const one = page.examples[place];
  return one && !page.picture
    ? use(await pictures.example(place, one))
    : fields.example !== undefined && one
      ? use(await pictures.example(place, one))
      : null;
}

/** Returns the example to begin with: the first one of the shown model's data set, if there is one. */
function startingExample() {
  const dataset = page.panes[0]?.model.dataset;
  return Math.max(
    0,
    page.examples.findIndex((one) => one.dataset === dataset),
  );
}

async function changedServer(serving, names) {
  const served = names && [...names].sort().join();
  const shown = page.models.map(name).sort().join();
  if (serving && (page.models.length === 0 || (served !== null && served !== shown))) {
    if (await loadModels()) await follow();
  } else if (serving) {
    for (const pane of page.panes)
      if (
        pane.failed &&
        ["ServerUnavailable", "DeadlineExceeded", "Timeout", "PageGone", "ServerBusy"].includes(pane.failed.kind)
      )
        pane.retry();
  }
}

async function start() {
  pictures.listen(use);
  for (const id of ["first", "second"])
    find(id).addEventListener("change", () => {
      arrange();
      writeLink();
    });
  find("bar").addEventListener("submit", (event) => event.preventDefault());
  find("link").addEventListener("click", copy);
  addEventListener("hashchange", () => {
    if (location.hash !== page.written) follow();
  });
  try {
    page.examples = await pictures.offer(use);
  } catch {
    /* the state on top says that the page is gone */
  }
  if (await loadModels()) await follow();
  watch(
    () => page.address || "The server",
    () => page.models,
    changedServer,
  );
}

async function copy() {
  const button = find("link");
  try {
    await navigator.clipboard.writeText(location.href);
    button.textContent = "Copied";
  } catch {
    // only https and this machine's own pages may write to the clipboard
    button.textContent = "Copy the address above";
  }
  setTimeout(() => {
    button.textContent = "Copy link";
  }, 2500);
}

start();
