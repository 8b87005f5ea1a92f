// The websocket: comes back by itself, says what was painted, and tells the server anew what this page wants.
export class Line {
  constructor(url, taken, opened, ended) {
    Object.assign(this, { url, taken, opened, ended });
    this.wait = 250;
    this.#open();
  }

  #open() {
    this.socket = new WebSocket(this.url);
    this.socket.binaryType = "arraybuffer";
    this.socket.onopen = () => {
      this.wait = 250;
      this.opened();
    };
    this.socket.onmessage = (event) => this.taken(event.data, this.socket);
    this.socket.onclose = (event) => (event.code === 4401 ? this.ended() : this.#again());
  }

  // A browser is not told why a socket was refused, so the server is asked whether the session still holds.
  async #again() {
    const answer = await fetch("/session", { cache: "no-store" }).catch(() => null);
    if (answer?.status === 401) return this.ended();
    setTimeout(() => this.#open(), this.wait);
    this.wait = Math.min(2 * this.wait, 2000);
  }

  say(message, socket = this.socket) {
    if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
  }
}
