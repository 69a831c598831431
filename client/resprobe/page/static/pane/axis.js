// Axis of the ratio: linear, or logarithmic where one block dwarfs the rest.

const DWARFS = 6; // times the median

/** Whether the largest of some values dwarfs the rest. */
export function dwarfs(values) {
  const known = values.filter((value) => Number.isFinite(value) && value > 0).sort((a, b) => a - b);
  return known.length > 2 && known.at(-1) > DWARFS * known[Math.floor((known.length - 1) / 2)];
}

/** Axis over some values: `at` gives the place of a value in [0, 1], `ticks` are the values to mark. */
export function axis(values, logarithmic) {
  const known = values.filter((value) => Number.isFinite(value) && value > 0);
  const most = known.length ? Math.max(...known) : 1;
  return logarithmic && known.length ? logAxis(Math.min(...known), most) : linearAxis(most);
}

function linearAxis(most) {
  const gap = nice(most / 4);
  const end = most * 1.04;
  const ticks = [];
  for (let place = 0; place * gap <= end; place += 1) ticks.push(place * gap);
  return { at: (value) => clamp(value / end), ticks, logarithmic: false };
}

function logAxis(least, most) {
  const low = Math.log10(least) - 0.15;
  const high = Math.log10(most) + 0.05;
  const ticks = [];
  for (let decade = Math.floor(low); decade <= high; decade += 1) {
    for (const one of high - low < 1.6 ? [1, 2, 5] : [1]) {
      const place = decade + Math.log10(one);
      if (place >= low && place <= high) ticks.push(one * 10 ** decade);
    }
  }
  return { at: (value) => (value > 0 ? clamp((Math.log10(value) - low) / (high - low)) : 0), ticks, logarithmic: true };
}

function nice(gap) {
  const decade = 10 ** Math.floor(Math.log10(gap));
  return [1, 2, 5, 10].map((one) => one * decade).find((one) => one >= gap) ?? 10 * decade;
}

const clamp = (value) => (Number.isNaN(value) ? 0 : Math.min(1, Math.max(0, value)));
