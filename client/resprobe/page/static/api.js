// Asks the page's own server, and says in words what went wrong.

const SECONDS = 20;
export const MAXIMUM = 32 * 2 ** 20; // bytes of a picture; the page's server has the same limit

/** Failure whose message is a sentence for a person; `kind` is the name of the exception in resprobe.errors. */
export class Failure extends Error {
  constructor(kind, message) {
    super(message);
    this.kind = kind;
  }
}

async function send(path, options = {}) {
  let response;
  try {
    response = await fetch(path, { ...options, signal: AbortSignal.timeout(SECONDS * 1000) });
  } catch (error) {
    if (error.name === "TimeoutError") throw new Failure("Timeout", `No answer within ${SECONDS} s.`);
    throw new Failure("PageGone", "The page's own server does not answer: is “resprobe page” still running?");
  }
  if (response.ok) return response;
  const text = await response.text();
  let found = null;
  try {
    found = JSON.parse(text);
  } catch {
    /* not from the page's handlers: its text is the message */
  }
  throw new Failure(found?.kind ?? `HTTP ${response.status}`, sentence(found?.message ?? text));
}

/** Begins with a capital letter and ends with a full stop. */
function sentence(text) {
  const clean = text.trim() || "The request failed without a reason";
  return clean[0].toUpperCase() + clean.slice(1) + (/[.?!]$/.test(clean) ? "" : ".");
}

const json = async (path) => (await send(path)).json();
export const models = () => json("/api/models");
export const state = () => json("/api/state");
export const examples = () => json("/api/examples");
export const exampleFile = async (place) => (await send(`/api/examples/${place}`)).blob();
export const pictureFile = async (key) => (await send(`/api/pictures/${key}`)).blob();

/** Sends a picture file and returns its key. */
export async function upload(file) {
  const headers = { "Content-Type": "application/octet-stream" };
  return (await (await send("/api/pictures", { method: "POST", headers, body: file })).json()).picture;
}

async function ask(path, question) {
  const headers = { "Content-Type": "application/json" };
  return (await send(path, { method: "POST", headers, body: JSON.stringify(question) })).json();
}

/** Asks about the inside of a net: as classify, and { block, views }. */
export const inspect = (question) => ask("/api/inspect", question);

/** Asks about a picture: { picture, model, version, scale }. */
export async function classify(question) {
  const answer = await ask("/api/classify", question);
  for (const one of answer.classes) one.probability = Number(one.probability);
  for (const [name, values] of Object.entries(answer.blocks ?? {}))
    if (name !== "names") answer.blocks[name] = values.map(Number);
  return answer;
}

/** Runs one task at a time; of those that arrive meanwhile only the last one is run. */
export class Latest {
  #running = false;
  #next = null;

  run(task) {
    this.#next = task;
    if (!this.#running) this.#loop();
  }

  async #loop() {
    this.#running = true;
    try {
      while (this.#next) {
        const task = this.#next;
        this.#next = null;
        await task();
      }
    } finally {
      this.#running = false;
    }
  }
}
