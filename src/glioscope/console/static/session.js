// On every page: when the socket is gone, ask whether the session still holds; if not, go and log in again.
(() => {
  "use strict";
  let asking = false;
  async function look() {
    if (asking || document.visibilityState !== "visible" || !window.socket || window.socket.connected) return;
    asking = true;
    try {
      const answer = await fetch("/session", { cache: "no-store", credentials: "same-origin" });
      if (answer.status === 401) location.assign("/login?next=" + encodeURIComponent(location.pathname));
    } catch (error) {
      if (!(error instanceof TypeError)) throw error; // the server does not answer: asked again below
    } finally {
      asking = false;
    }
  }
  setInterval(look, 1000);
})();
