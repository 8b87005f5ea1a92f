// Keys, and the buttons that take a specimen. A press is sent at once, with an id of its own, and only once.
(() => {
  const LOST_MS = 8000;
  let pending = "";
  let timer = 0;

  const page = () => document.getElementById("gs-theatre");

  function newId() {
    if (crypto.randomUUID) return crypto.randomUUID(); // secure contexts only: a plain address in theatre is none
    return Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");
  }

  function say(sentence) {
    const line = document.getElementById("gs-said");
    if (!line) return;
    line.textContent = sentence;
    line.hidden = !sentence;
  }

  function done() {
    clearTimeout(timer);
    pending = "";
    document.body.classList.remove("gs-taking-now");
  }

  function take(tray) {
    const root = page();
    if (!root || root.dataset.mayTake !== "yes" || pending) return;
    if (document.querySelector(".q-dialog")) return say(root.dataset.dialogOpen);
    if (!window.socket || !window.socket.connected) return say(root.dataset.notConnected);
    say("");
    pending = newId();
    document.body.classList.add("gs-taking-now");
    timer = setTimeout(() => {
      done();
      say(root.dataset.lostPress);
    }, LOST_MS);
    emitEvent("gs_take", { request_id: pending, tray });
  }

  window.glioscopeTaken = (requestId) => {
    if (requestId === pending) done();
  };

  const inText = (target) => target.closest && target.closest("input, textarea, select, [contenteditable]");

  // On the way down, before any button that has the focus can take the key for a press of its own.
  function key(event) {
    const root = page();
    if (!root || event.ctrlKey || event.altKey || event.metaKey) return;
    if (inText(event.target) && event.target.type !== "range") return;
    if (event.code === root.dataset.takeKey) {
      event.preventDefault();
      event.stopPropagation();
      if (event.type === "keydown" && !event.repeat) take(false);
      return;
    }
    if (event.type !== "keydown" || event.repeat) return;
    if (event.code === "KeyL") emitEvent("gs_dark");
    else if (/^[1-8]$/.test(event.key) && !document.querySelector(".q-dialog")) emitEvent("gs_sector", Number(event.key));
  }
  document.addEventListener("keydown", key, true);
  document.addEventListener("keyup", key, true);

  document.addEventListener("click", (event) => {
    const pressed = event.target.closest && event.target.closest("[data-take]");
    if (pressed) take(pressed.dataset.take === "tray");
  });
})();
