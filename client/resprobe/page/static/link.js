// Permalink: everything that the page shows, in the fragment of its address, which browsers never send.

const EMBEDDED = 4096; // maximum bytes of a picture file inside a link

/** Reads the fragment: { model, with, scale, scale2, log, log2, open, example, picture, data, name }. */
export function read() {
  return Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
}

/** Writes a set of factors as text, and reads it. */
export const scaleText = (factors) => [...factors].map(([name, factor]) => `${name}:${factor}`).join(",");
export function scaleMap(text) {
  const pairs = (text ?? "")
    .split(",")
    .map((one) => one.split(":"))
    .filter(([name, factor]) => name && factor !== undefined);
  return new Map(
    pairs.map(([name, factor]) => [name, Number(factor)]).filter(([, factor]) => factor >= 0 && factor <= 1),
  );
}

/** Describes a picture for a link: an example by its place, a small file as a whole, another one by its key. */
export async function pictureFields(picture) {
  if (picture.link) return picture.link;
  if (picture.file && picture.file.size <= EMBEDDED) {
    const bytes = new Uint8Array(await picture.file.arrayBuffer());
    return {
      data: btoa(String.fromCharCode(...bytes))
        .replaceAll("+", "-")
        .replaceAll("/", "_")
        .replaceAll("=", ""),
      name: picture.name,
    };
  }
  return { picture: await picture.key(), name: picture.name };
}

/** Reads a file that a link holds; null if it is not one. */
export function embedded(data) {
  try {
    const text = atob(data.replaceAll("-", "+").replaceAll("_", "/"));
    return new Blob([Uint8Array.from(text, (one) => one.charCodeAt(0))]);
  } catch {
    return null;
  }
}

/** Replaces the fragment without a new entry in the browser's history. */
export function write(fields) {
  const kept = Object.entries(fields).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const hash = new URLSearchParams(kept)
    .toString()
    .replaceAll("%2F", "/")
    .replaceAll("%3A", ":")
    .replaceAll("%2C", ",");
  history.replaceState(null, "", `#${hash}`);
}
