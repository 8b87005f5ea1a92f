// The live view: takes pictures from the websocket /live, colours them, paints them and says when they were painted.
// Indices of the fluorescence picture are levels of one absolute scale; their colours come from the server.

// Under the version of this file, so that a browser never mixes two.
const { search } = new URL(import.meta.url);
const { LEVELS, Colours, Panes, Scale, clamped, made } = await import(`./live_panes.js${search}`);
const { Line } = await import(`./live_line.js${search}`);

const LATE_MS = 500;
const DRAG_PX = 8;

class LiveView {
  constructor(block) {
    this.words = JSON.parse(block.dataset.words);
    this.block = block;
    this.colours = new Colours(JSON.parse(block.dataset.colours));
    this.scale = null;
    this.regions = [];
    this.draft = [];
    this.mode = "";
    this.tray = false;
    this.frozenId = -1;
    this.painted = 0;
    this.pictureAt = performance.now();
    this.queue = [];
    this.cells = {};
    this.#build(block.dataset.mayScale === "true");
    this.#listen();
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const url = `${scheme}://${location.host}/live?page=${encodeURIComponent(block.dataset.page)}`;
    this.channel = new MessageChannel();
    this.channel.port1.onmessage = (event) => this.#acknowledge(event.data);
    this.waiting = new Map();
    this.line = new Line(url, (data, socket) => this.#take(data, socket), () => this.#greet(), () => this.#ended());
    setInterval(() => this.#lookAtAge(), 100);
  }

  // ---- building

  #build(mayScale) {
    const { words } = this;
    this.strip = made("div", "live-strip");
    this.strip.setAttribute("role", "status");
    this.panes = new Panes(words, this.colours, (view) => this.panes.enlarge(view));
    this.sign = made("div", "live-sign");
    this.sign.hidden = true;
    this.sign.setAttribute("role", "alert");
    const stage = made("div", "live-stage");
    this.panes.element.append(this.sign);
    stage.append(this.panes.element);
    this.readout = made("div", "live-readout");
    this.cursorText = made("span", "live-cursor-text", words.cursor_none);
    this.regionTexts = made("span", "live-region-texts");
    this.said = made("span", "live-said");
    this.said.setAttribute("role", "alert");
    this.readout.append(this.cursorText, this.regionTexts, this.said);
    this.block.replaceChildren(this.strip, stage, this.readout, this.#bar(mayScale), this.#tools());
  }

  #bar(mayScale) {
    const { words } = this;
    const row = made("div", "live-bar-row");
    const bar = made("div", "live-bar");
    const ramp = made("canvas", "live-ramp");
    [ramp.width, ramp.height] = [LEVELS, 1];
    const image = new ImageData(LEVELS, 1);
    new Uint32Array(image.data.buffer).set(this.colours.full.subarray(0, LEVELS));
    ramp.getContext("2d").putImageData(image, 0, 0);
    this.ticks = made("div", "live-ticks");
    const full = made("span", "live-full", words.saturated);
    full.style.setProperty("--warning", `rgb(${this.colours.rgb[255]})`);
    bar.append(ramp, this.ticks);
    this.thresholdText = made("output");
    this.opacityText = made("output");
    const threshold = this.#slider("threshold", this.thresholdText, 0, LEVELS - 1, this.colours.threshold, (value) => {
      this.colours.threshold = value;
    });
    const opacity = this.#slider("opacity", this.opacityText, 0, 100, 100 * this.colours.opacity, (value) => {
      this.colours.opacity = value / 100;
    });
    row.append(bar, full, threshold, opacity);
    this.scalePanel = mayScale ? this.#scalePanel() : null;
    if (this.scalePanel) row.append(this.scalePanel);
    return row;
  }

  #slider(name, output, low, high, value, changed) {
    const label = made("label", "live-slider");
    const input = made("input");
    Object.assign(input, { type: "range", min: low, max: high, value, name });
    input.addEventListener("input", () => {
      changed(Number(input.value));
      this.colours.mix();
      this.#tellSliders();
      this.panes.fuse();
    });
    label.append(made("span", "", this.words[name]), output, input);
    return label;
  }

  #scalePanel() {
    const { words } = this;
    const panel = made("form", "live-scale");
    panel.hidden = true;
    this.scaleInputs = {};
    for (const [name, step] of [["low", 1], ["high", 1], ["gamma", "any"]]) {
      const label = made("label", "", words[`scale_${name}`]);
      const input = made("input");
      Object.assign(input, { type: "number", step, name, inputMode: "decimal", required: true });
      label.append(input);
      panel.append(label);
      this.scaleInputs[name] = input;
    }
    panel.append(this.#button("scale_set", "", () => {}, "submit"), this.#button("scale_close", "", () => {
      panel.hidden = true;
    }));
    panel.addEventListener("submit", (event) => {
      event.preventDefault();
      const numbers = Object.entries(this.scaleInputs).map(([name, input]) => [name, Number(input.value)]);
      this.line.say({ scale: Object.fromEntries(numbers) });
      panel.hidden = true;
    });
    return panel;
  }

  #button(name, key, pressed, type = "button") {
    const button = made("button", "live-button", this.words[name]);
    button.type = type;
    button.dataset.tool = name;
    if (key) button.append(made("kbd", "", key));
    // A press by hand leaves the focus where it was, so that the key that takes a specimen never repeats it.
    button.addEventListener("pointerdown", (event) => event.preventDefault());
    button.addEventListener("click", pressed);
    return button;
  }

  #tools() {
    const row = made("div", "live-tools");
    this.tools = {
      freeze: this.#button("freeze", "F", () => this.freeze()),
      zoom_out: this.#button("zoom_out", "", () => this.panes.zoomTo(this.panes.zoom.scale / 1.5)),
      zoom_in: this.#button("zoom_in", "", () => this.panes.zoomTo(this.panes.zoom.scale * 1.5)),
      zoom_fit: this.#button("zoom_fit", "0", () => this.panes.zoomTo(1)),
      box: this.#button("box", "B", () => this.#choose("box")),
      polygon: this.#button("polygon", "P", () => this.#choose("polygon")),
      background: this.#button("background", "G", () => this.#choose("background")),
      clear: this.#button("clear", "", () => this.#setRegions([])),
      tray: this.#button("tray", "T", () => this.toggleTray()),
    };
    this.tools.zoom_in.setAttribute("aria-label", this.words.zoom_in_long);
    this.tools.zoom_out.setAttribute("aria-label", this.words.zoom_out_long);
    row.append(...Object.values(this.tools));
    if (this.scalePanel) row.append(this.#button("scale", "", () => this.#openScale()));
    return row;
  }

  #openScale() {
    this.scalePanel.hidden = !this.scalePanel.hidden;
    if (this.scalePanel.hidden || !this.scale) return;
    for (const [name, input] of Object.entries(this.scaleInputs)) input.value = this.scale[name];
    this.scaleInputs.low.focus();
  }

  // ---- hands

  #listen() {
    document.addEventListener("keydown", (event) => this.#key(event));
    for (const [view, { pane }] of Object.entries(this.panes.panes)) {
      let from = null;
      let dragged = false;
      pane.addEventListener("pointerdown", (event) => {
        if (event.target.closest("button")) return;
        from = [event.clientX, event.clientY];
        dragged = false;
        pane.setPointerCapture(event.pointerId);
      });
      pane.addEventListener("pointermove", (event) => {
        if (from === null) {
          if (event.pointerType === "mouse") this.#setCursor(this.panes.pixel(view, event));
          return;
        }
        const [x, y] = [event.clientX - from[0], event.clientY - from[1]];
        if (!dragged && Math.hypot(x, y) < DRAG_PX) return;
        dragged = true;
        const reach = this.panes.zoom.scale;
        this.panes.pan(-x / pane.clientWidth / reach, -y / pane.clientHeight / reach);
        from = [event.clientX, event.clientY];
      });
      pane.addEventListener("pointerup", (event) => {
        if (from !== null && !dragged) this.#tap(this.panes.pixel(view, event));
        from = null;
      });
      pane.addEventListener("pointercancel", () => {
        from = null;
      });
      pane.addEventListener("wheel", (event) => {
        event.preventDefault();
        this.panes.zoomTo(this.panes.zoom.scale * (event.deltaY < 0 ? 1.25 : 0.8), ...this.panes.share(view, event));
      }, { passive: false });
    }
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest?.("input:not([type=range]), textarea, select, [contenteditable], .q-dialog")) return;
    const keys = {
      f: () => !event.repeat && this.freeze(),
      "+": () => this.panes.zoomTo(this.panes.zoom.scale * 1.5),
      "=": () => this.panes.zoomTo(this.panes.zoom.scale * 1.5),
      "-": () => this.panes.zoomTo(this.panes.zoom.scale / 1.5),
      0: () => this.panes.zoomTo(1),
      b: () => this.#choose("box"),
      p: () => this.#choose("polygon"),
      g: () => this.#choose("background"),
      t: () => !event.repeat && this.toggleTray(),
      escape: () => this.#choose(""),
    };
    const wanted = keys[event.key.toLowerCase()];
    if (wanted) wanted();
    else if (event.target.classList?.contains("live-pane")) this.#steer(event);
  }

  // Arrows move the cursor of a view that has the focus, Enter is a tap there.
  #steer(event) {
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const [width, height] = this.panes.size;
    const at = this.cursor ?? [width >> 1, height >> 1];
    if (event.key in steps) {
      const stride = event.shiftKey ? 10 : 1;
      const [x, y] = steps[event.key];
      this.#setCursor([clamped(at[0] + stride * x, 0, width - 1), clamped(at[1] + stride * y, 0, height - 1)]);
      this.panes.reveal(this.cursor);
    } else if (event.key === "Enter") {
      this.#tap(at);
    } else {
      return;
    }
    event.preventDefault();
  }

  #setCursor(pixel) {
    if (this.cursor && pixel[0] === this.cursor[0] && pixel[1] === this.cursor[1]) return;
    this.cursor = pixel;
    this.panes.mark({ cursor: pixel });
    if (this.cursorDue) return;
    this.cursorDue = true;
    requestAnimationFrame(() => {
      this.cursorDue = false;
      this.line.say({ cursor: this.cursor });
    });
  }

  #tap(pixel) {
    this.#setCursor(pixel);
    if (!this.mode) return;
    const [first] = this.draft;
    const near = first && Math.hypot(pixel[0] - first[0], pixel[1] - first[1]) * this.panes.zoom.scale < 12;
    if (this.mode === "polygon" && this.draft.length >= 3 && near) return this.#finish();
    this.draft.push(pixel);
    this.panes.mark({ draft: this.draft });
    if (this.mode !== "polygon" && this.draft.length === 2) this.#finish();
  }

  // Choosing the polygon a second time finishes it.
  #choose(mode) {
    if (this.mode === "polygon" && mode === "polygon" && this.draft.length >= 3) return this.#finish();
    this.mode = this.mode === mode ? "" : mode;
    this.draft = [];
    this.panes.mark({ draft: [] });
    for (const name of ["box", "polygon", "background"]) this.#press(name, this.mode === name);
    this.#tell(this.mode ? this.words[`draw_${this.mode}`] : "");
  }

  #finish() {
    const background = this.mode === "background";
    const taken = new Set(this.regions.map((region) => region.name));
    const name = background ? "B" : ["1", "2", "3", "4", "5", "6", "7"].find((number) => !taken.has(number));
    const others = this.regions.filter((region) => region.name !== name);
    const region = { name, kind: this.mode === "polygon" ? "polygon" : "box", points: this.draft, background };
    this.#choose("");
    if (name === undefined) this.#tell(this.words.too_many);
    else this.#setRegions([...others, region]);
  }

  #setRegions(regions) {
    this.regions = regions;
    if (!regions.length) this.regionTexts.replaceChildren();
    this.panes.mark({ regions });
    this.line.say({ regions });
  }

  toggleTray() {
    this.tray = !this.tray;
    this.#press("tray", this.tray);
    this.panes.mark({ outlines: [] });
    this.line.say({ tray: this.tray });
  }

  freeze() {
    const frozen = this.frozenId < 0 && this.shown !== undefined;
    this.frozenId = frozen ? this.shown.id : -1;
    this.#press("freeze", frozen);
    this.line.say({ frozen: this.frozenId });
    this.#lookAtAge();
  }

  #press(name, on) {
    this.tools[name].setAttribute("aria-pressed", String(on));
  }

  #tell(sentence) {
    this.said.textContent = sentence;
  }

  // ---- pictures

  #greet() {
    this.queue = [];
    this.waiting.clear();
    if (this.frozenId >= 0) this.freeze(); // the server does not have that picture any more
    this.line.say({ regions: this.regions, tray: this.tray, cursor: this.cursor ?? [] });
  }

  #ended() {
    this.over = true;
    this.#lookAtAge();
  }

  async #take(data, socket) {
    const length = new DataView(data).getUint32(0, true);
    const header = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length)));
    this.#readWords(header);
    if (header.sequence === undefined) return;
    const start = 4 + length;
    const picture = { header, socket };
    if (header.fl_bytes) {
      const decoded = (from, size) => createImageBitmap(
        new Blob([new Uint8Array(data, from, size)], { type: "image/jpeg" }), { colorSpaceConversion: "none" });
      [picture.fl, picture.wl] = await Promise.all(
        [decoded(start, header.fl_bytes), decoded(start + header.fl_bytes, header.wl_bytes)]);
    }
    this.queue.push(picture);
    if (!this.due) {
      this.due = true;
      requestAnimationFrame(() => this.#paint());
    }
  }

  // Only the newest of those that wait is painted; the message to the channel arrives after the browser has painted.
  #paint() {
    this.due = false;
    const pictures = this.queue;
    this.queue = [];
    const newest = pictures.at(-1);
    if (!newest) return;
    const { header, fl, wl } = newest;
    if (fl && this.frozenId < 0) {
      this.shown = header;
      this.#setScale(new Scale(header.scale));
      this.panes.resize(header.size);
      this.panes.paint(fl, wl);
      this.painted += 1;
    }
    this.pictureAt = Math.max(this.pictureAt, performance.now() - header.age_ms);
    for (const picture of pictures) {
      picture.fl?.close();
      if (picture.wl !== this.panes.wl) picture.wl?.close();
    }
    for (const { header: { id }, socket } of pictures) this.waiting.set(id, { socket, skipped: id !== header.id });
    this.channel.port2.postMessage(pictures.map((picture) => picture.header.id));
  }

  #acknowledge(ids) {
    const visible = document.visibilityState === "visible";
    for (const id of ids) {
      const { socket, skipped } = this.waiting.get(id) ?? {};
      this.waiting.delete(id);
      if (socket) this.line.say({ ack: id, visible, skipped }, socket);
    }
    this.#lookAtAge();
  }

  #setScale(scale) {
    if (scale.same(this.scale)) return;
    this.scale = scale;
    const levels = [0, 0.25, 0.5, 0.75, 1].map((share) => Math.round(share * (LEVELS - 1)));
    this.ticks.replaceChildren(...levels.map((level) => made("span", "", String(scale.counts(level)))));
    this.#tellSliders();
  }

  #tellSliders() {
    if (!this.scale) return;
    this.thresholdText.textContent = `${this.scale.counts(this.colours.threshold)} ${this.words.counts}`;
    this.opacityText.textContent = `${Math.round(100 * this.colours.opacity)} %`;
  }

  // ---- words and numbers

  #readWords(header) {
    this.header = { ...this.header, ...header };
    if (header.strip) this.#tellStrip(header.strip);
    if (header.said) this.#tell(header.said);
    if (header.cursor) this.#tellCursor(header.cursor);
    if (header.regions) this.#tellRegions(header.regions);
    if (header.outlines && this.tray) this.panes.mark({ outlines: header.outlines });
    if (header.fault !== undefined && header.fault !== this.fault) {
      this.fault = header.fault;
      this.#tell(this.fault);
    }
  }

  #tellStrip(items) {
    const names = new Set(items.map((item) => item.name));
    for (const [name, { item }] of Object.entries(this.cells)) item.hidden = !names.has(name);
    for (const { name, label, value, sign, tone, share } of items) {
      const cell = this.cells[name] ?? this.#cell(name);
      const text = `${sign} ${value}`.trim();
      if (cell.label.textContent !== label) cell.label.textContent = label;
      if (cell.value.textContent !== text) cell.value.textContent = text;
      if (cell.item.dataset.tone !== tone) cell.item.dataset.tone = tone;
      cell.gauge.hidden = share === null;
      if (share !== null) cell.gauge.style.setProperty("--share", clamped(share, 0, 1));
    }
  }

  #cell(name) {
    const cell = { item: made("div", "live-item"), label: made("span", "live-label"), value: made("span", "live-value") };
    cell.gauge = made("span", "live-gauge");
    cell.item.dataset.item = name;
    cell.item.append(cell.label, cell.value, cell.gauge);
    this.strip.append(cell.item);
    this.cells[name] = cell;
    return cell;
  }

  #tellCursor({ x, y, counts, saturated }) {
    const { words } = this;
    const mm = this.header.mm_per_px;
    const place = mm ? `${(x * mm).toFixed(1)}, ${(y * mm).toFixed(1)} mm` : `${x}, ${y} px`;
    this.cursorText.textContent = `${place}: ${counts} ${words.counts}${saturated ? ` (${words.saturated})` : ""}`;
  }

  #tellRegions(readings) {
    const { words } = this;
    const signed = (value, error, digits) => `${value.toFixed(digits)} ± ${error.toFixed(digits)}`;
    const told = (r) => {
      if (r.sentence) return r.sentence;
      const full = r.saturated ? ` (${words.saturated})` : "";
      if (r.sbr !== null) return `${words.sbr} ${signed(r.sbr, r.sbr_error, 2)}${full}`;
      return `${words.contrast} ${signed(r.contrast, r.contrast_error, 0)} ${words.counts}${full}`;
    };
    const current = readings.filter((r) => this.regions.some((region) => region.name === r.name));
    this.regionTexts.replaceChildren(...current.map((r) => made("span", "live-region-text", `${r.name}: ${told(r)}`)));
  }

  // Whether what is seen is live: old, frozen or none at all is said over the picture.
  #lookAtAge() {
    const age = performance.now() - this.pictureAt;
    const late = this.over || age > LATE_MS;
    this.panes.element.classList.toggle("live-late", late);
    this.panes.element.classList.toggle("live-frozen", this.frozenId >= 0);
    let text = "";
    if (this.over) text = this.words.session_ended;
    else if (late) text = `${this.words.no_picture} ${(age / 1000).toFixed(1)} s`;
    else if (this.frozenId >= 0) text = `${this.words.frozen} ${clock(this.shown?.taken)}`;
    if (this.sign.textContent !== text) this.sign.textContent = text;
    this.sign.hidden = !text;
  }
}

function clock(iso) {
  return iso ? new Date(iso).toLocaleTimeString("en-GB") : "";
}

// The block is put into the page after this module was loaded.
function begin() {
  const block = document.querySelector(".live[data-page]");
  if (!block || block.view) return Boolean(block);
  block.view = new LiveView(block);
  return true;
}

if (!begin()) {
  const watch = new MutationObserver(() => begin() && watch.disconnect());
  watch.observe(document.documentElement, { childList: true, subtree: true });
}
