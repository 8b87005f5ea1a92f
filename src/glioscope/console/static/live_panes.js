// What the live view paints with: the scale, its colours, and three canvases with one zoom and one set of marks.

const SATURATED_FROM = 248;
export const LEVELS = 240;
const MOST_ZOOM = 8;
export const VIEWS = ["fl", "wl", "fused"];
const SVG = "http://www.w3.org/2000/svg";

export function made(tag, className = "", text = "") {
  const element = document.createElement(tag);
  element.className = className;
  element.textContent = text;
  return element;
}

function drawn(tag, attributes, text = "") {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.textContent = text;
  return element;
}

export function clamped(value, low, high) {
  return Math.min(Math.max(value, low), high);
}

export class Scale {
  constructor({ low, high, gamma }) {
    Object.assign(this, { low, high, gamma });
  }

  counts(level) {
    return Math.round(this.low + (this.high - this.low) * (level / (LEVELS - 1)) ** (1 / this.gamma));
  }

  same(other) {
    return other !== null && this.low === other.low && this.high === other.high && this.gamma === other.gamma;
  }
}

// Colours of the indices as 32-bit pixels, with and without the fluorescence that lies over white light.
export class Colours {
  constructor(rgb) {
    this.rgb = rgb;
    this.full = new Uint32Array(256);
    this.over = new Uint32Array(256);
    this.threshold = 36;
    this.opacity = 0.6;
    for (let i = 0; i < 256; i++) this.full[i] = this.#pixel(i, 255);
    this.mix();
  }

  mix() {
    const alpha = Math.round(255 * this.opacity);
    for (let i = 0; i < 256; i++) this.over[i] = i > this.threshold ? this.#pixel(i, i < SATURATED_FROM ? alpha : 255) : 0;
  }

  #pixel(i, alpha) {
    const [r, g, b] = this.rgb[i];
    return ((alpha << 24) | (b << 16) | (g << 8) | r) >>> 0;
  }
}

// The three canvases with their common zoom, and what is drawn over all of them.
export class Panes {
  constructor(words, colours, chosen) {
    this.words = words;
    this.colours = colours;
    this.size = [640, 512];
    this.zoom = { scale: 1, x: 0, y: 0 };
    this.element = made("div", "live-views");
    this.panes = {};
    for (const view of VIEWS) this.#add(view, chosen);
    this.scratch = new OffscreenCanvas(1, 1);
    this.overlay = new OffscreenCanvas(1, 1);
    this.enlarge("fl");
    new ResizeObserver(() => this.place()).observe(this.element);
  }

  #add(view, chosen) {
    const pane = made("div", "live-pane");
    pane.dataset.view = view;
    pane.tabIndex = 0;
    pane.setAttribute("role", "group");
    pane.setAttribute("aria-label", this.words[`view_${view}`]);
    const content = made("div", "live-content");
    const canvas = made("canvas", "live-canvas");
    const marks = drawn("svg", { class: "live-marks" });
    const title = made("button", "live-title", this.words[`view_${view}`]);
    title.type = "button";
    title.addEventListener("click", () => chosen(view));
    content.append(canvas, marks);
    pane.append(content, title);
    this.element.append(pane);
    this.panes[view] = { pane, content, canvas, marks, context: canvas.getContext("2d", { alpha: false }) };
  }

  enlarge(view) {
    this.main = view;
    for (const name of VIEWS) this.panes[name].pane.classList.toggle("live-main", name === view);
    this.place();
  }

  resize([width, height]) {
    if (this.image && this.size[0] === width && this.size[1] === height) return;
    this.size = [width, height];
    const canvases = [this.scratch, this.overlay, ...VIEWS.map((view) => this.panes[view].canvas)];
    for (const canvas of canvases) [canvas.width, canvas.height] = this.size;
    for (const view of VIEWS) this.panes[view].marks.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.scratchContext = this.scratch.getContext("2d", { willReadFrequently: true });
    this.overlayContext = this.overlay.getContext("2d", { willReadFrequently: true });
    this.image = new ImageData(width, height);
    this.overImage = new ImageData(width, height);
    this.place();
  }

  paint(fl, wl) {
    this.scratchContext.drawImage(fl, 0, 0);
    const pixels = this.scratchContext.getImageData(0, 0, ...this.size).data;
    this.index = new Uint32Array(pixels.buffer);
    this.wl?.close();
    this.wl = wl;
    const shown = new Uint32Array(this.image.data.buffer);
    const { full } = this.colours;
    for (let i = 0; i < shown.length; i++) shown[i] = full[this.index[i] & 255];
    this.panes.fl.context.putImageData(this.image, 0, 0);
    this.panes.wl.context.drawImage(wl, 0, 0);
    this.fuse();
  }

  fuse() {
    if (!this.index) return;
    const laid = new Uint32Array(this.overImage.data.buffer);
    const { over } = this.colours;
    for (let i = 0; i < laid.length; i++) laid[i] = over[this.index[i] & 255];
    this.overlayContext.putImageData(this.overImage, 0, 0);
    this.panes.fused.context.drawImage(this.wl, 0, 0);
    this.panes.fused.context.drawImage(this.overlay, 0, 0);
  }

  // Zoom about a place given in shares of the picture.
  zoomTo(scale, x = this.zoom.x + 0.5 / this.zoom.scale, y = this.zoom.y + 0.5 / this.zoom.scale) {
    const wanted = clamped(scale, 1, MOST_ZOOM);
    const ratio = this.zoom.scale / wanted;
    this.#move(wanted, x - (x - this.zoom.x) * ratio, y - (y - this.zoom.y) * ratio);
  }

  pan(x, y) {
    this.#move(this.zoom.scale, this.zoom.x + x, this.zoom.y + y);
  }

  // Bring a pixel into sight.
  reveal([x, y]) {
    const seen = 1 / this.zoom.scale;
    const [u, v] = [(x + 0.5) / this.size[0], (y + 0.5) / this.size[1]];
    const inside = (at, from) => clamped(from, at - 0.95 * seen, at - 0.05 * seen);
    if (seen < 1) this.#move(this.zoom.scale, inside(u, this.zoom.x), inside(v, this.zoom.y));
  }

  #move(scale, x, y) {
    const most = 1 - 1 / scale;
    this.zoom = { scale, x: clamped(x, 0, most), y: clamped(y, 0, most) };
    this.place();
  }

  place() {
    const { scale, x, y } = this.zoom;
    for (const { content, canvas, pane } of Object.values(this.panes)) {
      content.style.transform = `translate(${-100 * x * scale}%, ${-100 * y * scale}%) scale(${scale})`;
      const enlarged = pane.clientWidth * scale * devicePixelRatio > this.size[0];
      canvas.style.imageRendering = enlarged ? "pixelated" : "auto";
    }
    this.mark();
  }

  // Share of the picture under a pointer.
  share(view, event) {
    const box = this.panes[view].pane.getBoundingClientRect();
    const { scale, x, y } = this.zoom;
    return [x + (event.clientX - box.left) / box.width / scale, y + (event.clientY - box.top) / box.height / scale];
  }

  pixel(view, event) {
    const [u, v] = this.share(view, event);
    const [width, height] = this.size;
    return [clamped(Math.floor(u * width), 0, width - 1), clamped(Math.floor(v * height), 0, height - 1)];
  }

  // Marks are the same in all views; what is left out stays as it was.
  mark(marks = {}) {
    this.marks = { cursor: null, regions: [], draft: [], outlines: [], ...this.marks, ...marks };
    for (const { pane, marks: svg } of Object.values(this.panes)) {
      const unit = this.size[0] / Math.max(pane.clientWidth, 1) / this.zoom.scale;
      svg.style.setProperty("--unit", unit);
      svg.replaceChildren(...this.#shapes(unit));
    }
  }

  *#shapes(unit) {
    const { cursor, regions, draft, outlines } = this.marks;
    for (const [k, outline] of outlines.entries()) yield* this.#shape(outline, "live-outline", String(k + 1), unit);
    for (const { points, kind, name, background } of regions) {
      const [[a, b], [c, d]] = points;
      const corners = kind === "polygon" ? points : [[a, b], [c, b], [c, d], [a, d]];
      yield* this.#shape(corners, background ? "live-background" : "live-region", name, unit);
    }
    if (draft.length) {
      yield drawn("polyline", { class: "live-draft", points: draft.join(" ") });
      for (const [x, y] of draft) yield drawn("circle", { class: "live-draft", cx: x, cy: y, r: 4 * unit });
    }
    if (cursor) {
      const [x, y, gap, arm] = [cursor[0] + 0.5, cursor[1] + 0.5, 5 * unit, 18 * unit];
      const d = [[gap, 0], [-gap, 0], [0, gap], [0, -gap]].map(([h, v]) =>
        `M${x + h} ${y + v}l${Math.sign(h) * arm} ${Math.sign(v) * arm}`).join("");
      yield drawn("path", { class: "live-cursor-under", d });
      yield drawn("path", { class: "live-cursor", d });
    }
  }

  *#shape(corners, className, name, unit) {
    yield drawn("polygon", { class: className, points: corners.join(" ") });
    const x = Math.min(...corners.map((corner) => corner[0]));
    const y = Math.min(...corners.map((corner) => corner[1]));
    yield drawn("text", { class: `${className}-name`, x, y: Math.max(y - 4 * unit, 18 * unit) }, name);
  }
}
