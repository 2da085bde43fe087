// Line charts: a window of time, a few lines, and the same facts as text.

const SVG = 'http://www.w3.org/2000/svg';
const WINDOW_MS = 120_000;
/** A pause between two samples from which the line is broken: nothing was measured in between. */
const BREAK_MS = 2_500;
/** More points than a window of one a second can hold; bounds a faster source. */
const MAX_POINTS = 1_000;
const WIDTH = 600;
const HEIGHT = 120;

/** An element with text (never markup) and attributes. */
function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function shape(name, attributes = {}) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

/** The least of 1, 2, 5 × 10ⁿ (or 2ⁿ for bytes) that is not below `value`. */
function niceCeiling(value, binary) {
  if (binary) return 2 ** Math.ceil(Math.log2(value));
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value);
}

class Chart {
  #points = [];
  #parts;
  #drawing = false;
  #pointer = null;

  /**
   * `series`: [{label, value(sample)}]; `format(number)`; `floor`: the least upper end
   * of the scale; `fixed`: its upper end, if it never moves; `note(sample)`: a line of text.
   */
  constructor(spec) {
    this.spec = spec;
    this.#parts = this.#build();
    this.figure = this.#parts.figure;
  }

  /** The time of the newest sample in ms, or null. */
  get last() {
    return this.#points.at(-1)?.time ?? null;
  }

  /** Adds a sample; one that is not newer than the last is a repeat and changes nothing. */
  add(sample) {
    const time = Date.parse(sample.time);
    const values = this.spec.series.map((line) => line.value(sample));
    if (!Number.isFinite(time) || !values.every(Number.isFinite)) return;
    if (this.last !== null && time <= this.last) return;
    this.#points.push({ time, iso: sample.time, values, note: this.spec.note(sample) });
    const oldest = time - WINDOW_MS;
    const keep = this.#points.findIndex((point) => point.time >= oldest);
    this.#points.splice(0, Math.max(keep, this.#points.length - MAX_POINTS));
    this.#schedule();
  }

  #schedule() {
    if (this.#drawing) return;
    this.#drawing = true;
    requestAnimationFrame(() => {
      this.#drawing = false;
      this.#draw();
    });
  }

  #build() {
    const { name, title, series } = this.spec;
    const value = element('span', { class: 'value' }, '–');
    const note = element('p', { class: 'chart-note' }, ' ');
    const top = element('span', { class: 'scale-top', 'aria-hidden': 'true' });
    const readout = element('span', { class: 'readout', 'aria-hidden': 'true' });
    const summary = element('figcaption', { id: `chart-${name}-summary` }, 'waiting for the first event');
    const svg = shape('svg', {
      viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none', role: 'img',
      'aria-label': `${title}, last two minutes`, 'aria-describedby': summary.id,
    });
    for (const y of [0.25, 0.5, 0.75]) svg.append(shape('path', { class: 'rule', d: `M0 ${HEIGHT * y}H${WIDTH}` }));
    const area = shape('path', { class: 'area' });
    const lines = series.map((_, index) => shape('path', { class: `line line-${index}` }));
    const cross = shape('path', { class: 'cross' });
    svg.append(area, ...[...lines].reverse(), cross);
    const legend = element('ul', { class: 'legend' });
    const current = series.map((line, index) => {
      const now = element('b', {}, '–');
      legend.append(element('li', { class: `key key-${index}` }, element('span', {}, line.label), ' ', now));
      return now;
    });
    const plot = element('div', { class: 'plot' }, svg, top, readout);
    plot.addEventListener('pointermove', (event) => {
      const box = plot.getBoundingClientRect();
      this.#pointer = (event.clientX - box.left) / box.width;
      this.#schedule();
    });
    plot.addEventListener('pointerleave', () => {
      this.#pointer = null;
      this.#schedule();
    });
    const figure = element('figure', { class: 'chart', 'data-chart': name, 'data-points': '0', 'data-last': '' },
      element('div', { class: 'chart-head' }, element('h3', {}, title), series.length === 1 ? value : legend),
      plot,
      element('div', { class: 'axis', 'aria-hidden': 'true' }, element('span', {}, '2 min ago'), element('span', {}, 'now')),
      summary, note);
    return { figure, value, note, top, readout, summary, area, lines, cross, current };
  }

  #draw() {
    const points = this.#points;
    if (points.length === 0) return;
    const parts = this.#parts;
    const newest = points.at(-1);
    const all = points.flatMap((point) => point.values);
    const low = Math.min(...all);
    const high = Math.max(...all);
    const { format, fixed, floor, binary } = this.spec;
    const ceiling = fixed ?? niceCeiling(Math.max(high, floor), binary);
    const x = (time) => WIDTH * (1 - (newest.time - time) / WINDOW_MS);
    const y = (number) => HEIGHT * (1 - Math.min(number / ceiling, 1));
    const runs = splitRuns(points);
    parts.lines.forEach((line, index) => line.setAttribute('d', runs.map((run) => path(run, index, x, y)).join('')));
    parts.area.setAttribute('d', runs.map((run) =>
      `${path(run, 0, x, y)}L${x(run.at(-1).time).toFixed(1)} ${HEIGHT}L${x(run[0].time).toFixed(1)} ${HEIGHT}Z`).join(''));
    parts.value.textContent = format(newest.values[0]);
    parts.current.forEach((now, index) => { now.textContent = format(newest.values[index]); });
    parts.top.textContent = format(ceiling);
    parts.note.textContent = newest.note;
    parts.summary.textContent = `now ${newest.values.map(format).join(' / ')}, min ${format(low)}, max ${format(high)}`;
    parts.figure.dataset.points = String(points.length);
    parts.figure.dataset.last = newest.iso;
    this.#drawReadout(x);
  }

  #drawReadout(x) {
    const { cross, readout } = this.#parts;
    if (this.#pointer === null) {
      cross.setAttribute('d', '');
      readout.textContent = '';
      return;
    }
    const wanted = this.#pointer * WIDTH;
    const near = this.#points.reduce((best, point) =>
      (Math.abs(x(point.time) - wanted) < Math.abs(x(best.time) - wanted) ? point : best));
    cross.setAttribute('d', `M${x(near.time).toFixed(1)} 0V${HEIGHT}`);
    readout.textContent = `${clock(new Date(near.time))}  ${near.values.map(this.spec.format).join(' / ')}`;
  }
}

/** Runs of points without a pause between them. */
function splitRuns(points) {
  const runs = [];
  for (const point of points) {
    const run = runs.at(-1);
    if (run !== undefined && point.time - run.at(-1).time < BREAK_MS) run.push(point);
    else runs.push([point]);
  }
  return runs;
}

function path(run, index, x, y) {
  const steps = run.map((point) => `${x(point.time).toFixed(1)} ${y(point.values[index]).toFixed(1)}`);
  if (steps.length === 1) steps.push(steps[0]); // a lone point is still a dot
  return `M${steps.join('L')}`;
}
