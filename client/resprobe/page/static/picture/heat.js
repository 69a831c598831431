// Heat maps over a picture, as the net sees it: in the model's size, one cell for each position of a block.

import { make, number } from "../dom.js";

// From dark violet to yellow, as light as the value is large; people with colour blindness can tell them apart.
const COLOURS = [
  [32, 12, 74],
  [120, 28, 109],
  [187, 55, 84],
  [237, 105, 37],
  [252, 220, 90],
];
const SIZE = 176; // pixels of the longer side

/**
 * Returns a figure: a map over the picture in grey, and its caption.
 *
 * @param about `values`, row by row, where below 0 is nothing; the model's size `image`; and `resize`, the length that
 *   the model resizes the shorter side to before it cuts out the centre, or null if it resizes the picture as a whole
 */
export async function heatMap({ file, values, height, width, image, resize, caption }) {
  const numbers = values.map(Number);
  const most = Math.max(...numbers.filter(Number.isFinite), 0);
  const [imageHeight, imageWidth] = image;
  const canvas = make("canvas", {
    role: "img",
    "aria-label": words(caption.replace(/,$/, ""), numbers, height, width, most),
  });
  const scale = SIZE / Math.max(imageHeight, imageWidth);
  canvas.width = imageWidth * scale;
  canvas.height = imageHeight * scale;
  const pen = canvas.getContext("2d");
  await drawPicture(pen, file, canvas, resize && resize * scale);
  pen.imageSmoothingEnabled = false;
  pen.drawImage(cells(numbers, height, width, most), 0, 0, canvas.width, canvas.height);
  return make(
    "figure",
    { class: "heat" },
    canvas,
    make(
      "figcaption",
      {},
      caption,
      make("span", { class: "quiet" }, most > 0 ? ` up to ${number(most)}` : " zero everywhere"),
    ),
  );
}

/** Draws the picture as a whole, or the centre of it with its shorter side as long as `shorter`. */
async function drawPicture(pen, file, canvas, shorter) {
  const bitmap = file && (await createImageBitmap(file).catch(() => null));
  if (!bitmap) return; // the server may read what the browser does not
  pen.imageSmoothingEnabled = bitmap.width > canvas.width;
  pen.filter = "grayscale(1)";
  let [width, height] = [canvas.width, canvas.height];
  if (shorter) {
    const grown = shorter / Math.min(bitmap.width, bitmap.height);
    [width, height] = [bitmap.width * grown, bitmap.height * grown];
  }
  pen.drawImage(bitmap, (canvas.width - width) / 2, (canvas.height - height) / 2, width, height);
  pen.filter = "none";
}

function cells(values, height, width, most) {
  const small = document.createElement("canvas");
  small.width = width;
  small.height = height;
  const pixels = new ImageData(width, height);
  values.forEach((value, at) => {
    const share = most > 0 && Number.isFinite(value) ? Math.max(0, value / most) : 0;
    pixels.data.set([...colour(share), Math.round(255 * (0.25 + 0.6 * share))], 4 * at);
  });
  small.getContext("2d").putImageData(pixels, 0, 0);
  return small;
}

function colour(share) {
  const place = Math.min(share * (COLOURS.length - 1), COLOURS.length - 1.001);
  const low = Math.floor(place);
  return COLOURS[low].map((one, at) => Math.round(one + (place - low) * (COLOURS[low + 1][at] - one)));
}

/** Says where a map is largest, for those who do not see it. */
function words(caption, values, height, width, most) {
  if (most <= 0) return `${caption}: zero everywhere`;
  const at = values.indexOf(most);
  const third = (place, count, names) => names[Math.min(2, Math.floor((3 * (place + 0.5)) / count))];
  const where = [
    third(Math.floor(at / width), height, ["top", "middle", "bottom"]),
    third(at % width, width, ["left", "centre", "right"]),
  ];
  return `${caption}: largest at the ${where.join(" ")}`;
}
