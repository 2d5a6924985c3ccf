"use strict";
// Charts on uPlot: lines over time (or over money), in the colours of the theme.

const PALETTES = {
  light: ["#0072b2", "#c55a00", "#00805e", "#a5397a", "#7a6a00", "#5b4fc4", "#3a8fb7", "#b3261e", "#4d5a66"],
  dark: ["#56b4e9", "#ff9d4d", "#3ddc9f", "#f08cc8", "#f0e442", "#a9a1ff", "#9bdcf5", "#ff8a80", "#b7c3ce"],
};
const DASHES = [[], [6, 4], [2, 3], [10, 4, 2, 4]];

function theme() {
  return document.documentElement.dataset.theme === "dark" ? "dark" : "light";
}

function token(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** The colour and dash of a series: the same for a name on every chart. */
class Colours {
  constructor() { this.names = []; }
  of(name) {
    let place = this.names.indexOf(name);
    if (place < 0) place = this.names.push(name) - 1;
    const palette = PALETTES[theme()];
    return { stroke: palette[place % palette.length], dash: DASHES[Math.floor(place / palette.length) % 4] };
  }
}
const colours = new Colours();

function short(value) {
  if (value == null || !isFinite(value)) return "–";
  if (Number.isInteger(value) && Math.abs(value) < 1e6) return value.toLocaleString("en");
  const size = Math.abs(value);
  if (size >= 1e6) return value.toExponential(2);
  if (size >= 1000) return Math.round(value).toLocaleString("en");
  if (size >= 100) return value.toFixed(0);
  if (size >= 10) return value.toFixed(1);
  if (size >= 0.1 || size === 0) return value.toFixed(2);
  return Number(value.toPrecision(2)).toString();
}

/** A chart that is made again when its series, its theme or its width change. */
class Chart {
  constructor(id, options = {}) {
    this.place = document.getElementById(id);
    this.options = options;
    this.made = "";
    this.plot = null;
    new ResizeObserver(() => this.resize()).observe(this.place);
  }
  /** series: [{name, values, colour?, dash?}]; x: numbers. */
  show(x, series) {
    this.last = [x, series];
    if (!this.place.offsetParent) return;
    const shape = JSON.stringify([series.map((one) => one.name), theme()]);
    const data = [x, ...series.map((one) => one.values)];
    if (!x.length || !series.length) {
      if (this.plot) this.plot.destroy();
      this.plot = null;
      this.made = "";
      this.place.replaceChildren(make("p", "none", this.options.none || "nothing yet"));
    } else if (shape !== this.made) {
      if (this.plot) this.plot.destroy();
      this.place.replaceChildren();
      this.made = shape;
      this.plot = new uPlot(this.settings(series), data, this.place);
    } else {
      this.plot.setData(data);
    }
  }
  again() {
    this.made = "";
    if (this.last) this.show(...this.last);
  }
  resize() {
    if (!this.last) return;
    if (!this.plot) this.show(...this.last);
    else if (this.place.clientWidth && this.plot.width !== this.place.clientWidth) {
      this.plot.setSize({ width: this.place.clientWidth, height: this.height() });
    }
  }
  height() {
    return this.options.height || (this.place.clientWidth < 500 ? 170 : 210);
  }
  settings(series) {
    const axis = {
      stroke: token("--soft"), font: "12px system-ui, sans-serif",
      grid: { stroke: token("--grid"), width: 1 }, ticks: { stroke: token("--line"), size: 4 },
    };
    const time = this.options.time !== false;
    return {
      width: this.place.clientWidth, height: this.height(),
      padding: [8, 12, 0, 0],
      cursor: { y: false, drag: { x: false, y: false } },
      legend: { live: true, markers: { width: 3 } },
      scales: { x: { time }, y: { range: this.options.range || ((_, low, high) => [Math.min(0, low), high > 0 ? high * 1.08 : 1]) } },
      axes: [
        { ...axis, space: 70, values: (_, ticks) => (time ? hours(ticks) : ticks.map(short)), label: this.options.xLabel },
        { ...axis, size: 58, values: (_, ticks) => ticks.map(short) },
      ],
      series: [
        { label: time ? "time" : "x", value: (_, v) => (v == null ? "" : time ? clock(v) : short(v)) },
        ...series.map((one) => {
          const { stroke, dash } = one.colour
            ? { stroke: token(one.colour), dash: one.dash || [] } : (this.options.colours || colours).of(one.name);
          return {
            label: one.label || one.name, stroke, dash, width: 2, spanGaps: true,
            points: { show: Boolean(this.options.points), size: 7, fill: stroke },
            value: (_, v) => (v == null ? "" : short(v)),
          };
        }),
      ],
    };
  }
}

/** Times of an axis: with seconds only where ticks are closer than a minute. */
function hours(ticks) {
  const close = ticks.length > 1 && ticks[1] - ticks[0] < 60;
  return ticks.map((tick) => clock(tick).slice(0, close ? 8 : 5));
}

function clock(seconds) {
  return new Date(seconds * 1000).toLocaleTimeString("en-GB");
}

function make(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text != null) made.textContent = text;
  return made;
}
