// Where pictures come from: dropped, pasted or chosen files, examples, and links.

import * as api from "../api.js";
import { find, make } from "../dom.js";

/** A picture that panes ask about; its key is asked of the page's server once, and again where that forgot it. */
export class Picture {
  #file;
  #key;
  #forgotten = 0;

  /** `file` is a Blob, or null where only the key is known. */
  constructor({ file = null, key = null, name, label = null, dataset = null, link = null }) {
    this.#file = file;
    this.#key = key ? Promise.resolve(key) : null;
    Object.assign(this, { name, label, dataset, link });
  }

  get file() {
    return this.#file;
  }

  key() {
    this.#key ??= api.upload(this.#file);
    this.#key.catch(() => {
      this.#key = null;
    });
    return this.#key;
  }

  /** Forgets a key that the page's server does not know any more; whether the file should be sent again. */
  forget() {
    this.#key = null;
    this.#forgotten += 1;
    return this.#file !== null && this.#forgotten < 5;
  }
}

/** Shows a picture, or what is wrong with it, beside its name. */
let shown = null;
export function show(picture) {
  const preview = find("preview");
  if (shown) URL.revokeObjectURL(shown);
  shown = picture.file ? URL.createObjectURL(picture.file) : null;
  preview.hidden = !shown;
  if (shown) preview.src = shown;
  preview.alt = picture.name;
  preview.onload = () => {
    preview.classList.toggle("tiny", preview.naturalWidth < 200);
  };
  preview.onerror = () => {
    preview.hidden = true;
  };
  find("caption").textContent = picture.label === null ? picture.name : `${picture.name}, labelled ${picture.label}`;
}

/** Says what is wrong with a file; null takes it back. */
export function complain(message) {
  find("trouble").hidden = message === null;
  find("trouble").textContent = message ?? "";
}

/** Listens for files; calls `use(picture)`. */
export function listen(use) {
  const accept = (file) => {
    if (!file) return complain("That was not a file: drop, paste or choose a JPEG, PNG, WebP or BMP file.");
    const mebibytes = (file.size / 2 ** 20).toFixed(0);
    const maximum = `the maximum is ${api.MAXIMUM / 2 ** 20} MiB`;
    if (file.size > api.MAXIMUM)
      return complain(`${file.name} has ${mebibytes} MiB; ${maximum}. Choose a smaller picture.`);
    if (file.size === 0) return complain(`${file.name} is empty; expected a JPEG, PNG, WebP or BMP file.`);
    complain(null);
    return use(new Picture({ file, name: file.name || "pasted picture" }));
  };
  const input = find("file");
  find("choose").addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    if (input.files.length) accept(input.files[0]);
    input.value = "";
  });
  for (const type of ["dragenter", "dragover"])
    addEventListener(type, (event) => {
      event.preventDefault();
      document.body.classList.add("dropping");
    });
  addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) document.body.classList.remove("dropping");
  });
  addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("dropping");
    accept(event.dataTransfer.files[0]);
  });
  addEventListener("paste", (event) => {
    if (event.clipboardData.files.length) accept(event.clipboardData.files[0]);
  });
}

/** Lists the examples as buttons; calls `use(picture)`. */
export async function offer(use) {
  const found = await api.examples();
  find("examples").hidden = found.length === 0;
  const buttons = await Promise.all(
    found.map(async (one, place) => {
      const picture = await example(place, one);
      const image = make("img", { src: URL.createObjectURL(picture.file), alt: "" });
      return make(
        "button",
        {
          type: "button",
          title: one.label,
          "aria-label": `Example: ${one.label}`,
          onclick: () => {
            complain(null);
            use(picture);
          },
        },
        image,
        make("span", {}, one.label),
      );
    }),
  );
  find("strip").replaceChildren(...buttons);
  return found;
}

/** Fetches one example. */
export async function example(place, { label, dataset }) {
  return new Picture({
    file: await api.exampleFile(place),
    name: `test image of ${dataset}`,
    label,
    dataset,
    link: { example: String(place) },
  });
}
