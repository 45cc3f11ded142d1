// The stage: settings make runs, frames make steps, and the results are drawn.

import { Controls } from "./controls.js";
import { makeDataset, pointsOf } from "./datasets.js";
import { Maps } from "./maps.js";
import { partOf } from "./paint.js";
import { PointsEditor } from "./points.js";
import { Run, besideOf } from "./run.js";
import { holdsState, initialState, readState, writeState } from "./state.js";
import { storyOf } from "./stories.js";
import { Views } from "./views.js";
import { judgement, summary } from "./words.js";

/** @typedef {import("./state.js").State} State */

const BUDGET = 12; // milliseconds of a frame for steps
const LONGEST = 0.1; // seconds of a frame; time lost in longer ones is not made up for
const PICTURE = 50; // milliseconds from one picture to the next
const SPOKEN = 5000; // milliseconds from one sentence to the next
const SETTLED = 300; // milliseconds after the last change until the address is updated
const NO_POINTS = "There are no points to learn from. Click into the map to add some, or choose a set.";
const RAN_AWAY =
  "a number left the computer's range (NaN or infinity), so the run cannot go on. A smaller rate may help.";
/** @type {Array<keyof State>} that change nothing of what is learnt */
const OUTWARD = ["speed", "stop"];

class Stage {
  /** @param {HTMLElement} root */
  constructor(root) {
    this.root = root;
    this.invitation = this.part("watch").textContent;
    this.maps = new Maps();
    this.views = new Views(root, this.maps);
    this.isPlaying = false;
    this.end = Infinity; // the step at which the run stops
    this.due = this.last = this.pictured = this.spoken = this.frame = this.timer = 0;
    this.controls = new Controls(root, (change) => this.change(change), (words) => this.complain(words));
    this.editor = new PointsEditor(this.part("map"), /** @type {HTMLSelectElement} */ (this.part("pen")), {
      points: () => (this.state.data === "own" ? this.state.points : pointsOf(this.main.data)),
      changed: (points) => this.change({ data: "own", points }),
      moved: (place) => this.point(place),
      refused: (words) => this.complain(words),
    });
    /** @type {State} */
    this.state = initialState();
    this.main = new Run(this.state, makeDataset(this.state.data, [], this.state.seed));
    /** @type {Run | null} */
    this.beside = null;
    this.listen();
    this.reset();
    this.follow(location.hash);
  }

  /** @param {string} name */
  part(name) {
    return partOf(this.root, name);
  }

  listen() {
    this.part("run").addEventListener("click", () => (this.isPlaying ? this.pause() : this.play()));
    this.part("step").addEventListener("click", () => this.stepOnce());
    this.part("reset").addEventListener("click", () => this.reset());
    this.part("again").addEventListener("click", () => {
      this.reset();
      this.part("run").focus();
    });
    this.part("clear").addEventListener("click", () => this.change({ data: "own", points: [] }));
    this.root.querySelectorAll("[data-story]").forEach((button) => button.addEventListener("click", () => {
      history.replaceState(null, "", `#${button.id}`);
      this.follow(location.hash);
      this.play();
    }));
    addEventListener("hashchange", () => this.follow(location.hash));
    addEventListener("resize", () => this.draw());
    new MutationObserver(() => this.draw()).observe(document.body, { attributeFilter: ["data-md-color-scheme"] });
    this.views.chosen = () => this.draw();
  }

  /** Take the settings from an address; the name of a heading is none. @param {string} hash */
  follow(hash) {
    const story = storyOf(hash);
    if (!story && !holdsState(hash)) return;
    clearTimeout(this.timer); // an earlier change is not to write its address any more
    this.pause();
    this.state = story?.state ?? readState(hash);
    this.tell(story);
    this.reset();
  }

  /** @param {ReturnType<typeof storyOf>} story */
  tell(story) {
    this.part("watch").textContent = story?.watch ?? this.invitation;
    this.root.querySelectorAll("[data-story]").forEach((button) =>
      button.setAttribute("aria-pressed", String(button.id === story?.name)));
  }

  /** Most changes begin anew, so that an address always tells what one sees. @param {Partial<State>} change */
  change(change) {
    this.state = { ...this.state, ...change };
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.writeAddress(), SETTLED);
    if (Object.keys(change).every((name) => OUTWARD.includes(/** @type {keyof State} */ (name)))) {
      this.controls.show(this.state);
      this.setEnd();
    } else {
      this.tell(null);
      this.reset();
    }
  }

  writeAddress() {
    const hash = writeState(this.state);
    history.replaceState(null, "", hash ? `#${hash}` : location.pathname + location.search);
  }

  /** Back to the start. A running network keeps running from there. */
  reset() {
    const data = makeDataset(this.state.data, this.state.points, this.state.seed);
    this.main = new Run(this.state, data);
    const beside = besideOf(this.state);
    this.beside = beside && new Run(beside, data);
    this.controls.show(this.state);
    this.views.network.restart();
    this.complain("");
    this.setEnd();
    this.draw();
    if (!data.count) this.pause();
    this.say();
  }

  setEnd() {
    const steps = this.state.stop * this.main.batches;
    const end = this.main.steps < steps ? steps : this.main.steps + steps; // after that, it runs for as many again
    this.end = steps ? end : Infinity;
  }

  play() {
    if (!this.main.data.count) return this.complain(NO_POINTS);
    if (!this.areSound()) return this.complainOfNumbers();
    if (this.main.steps >= this.end) this.setEnd();
    this.isPlaying = true;
    this.due = this.last = 0;
    this.request();
    this.showButtons();
    this.say();
  }

  pause() {
    if (!this.isPlaying) return;
    this.isPlaying = false;
    this.showButtons();
    this.draw();
    this.say();
  }

  stepOnce() {
    this.pause();
    if (!this.main.data.count) return this.play();
    if (this.areSound()) this.step();
    this.draw();
    this.say();
  }

  showButtons() {
    this.part("run").textContent = this.isPlaying ? "Pause" : "Run";
    this.root.dataset.playing = String(this.isPlaying);
  }

  areSound() {
    return this.main.isSound && (this.beside?.isSound ?? true);
  }

  step() {
    this.main.step();
    this.beside?.step();
    if (!this.areSound()) this.complainOfNumbers();
  }

  /** One frame. @param {number} now */
  tick(now) {
    this.frame = 0;
    if (this.isPlaying) this.takeSteps(now);
    if (now - this.pictured >= PICTURE) this.draw(now);
    if (this.isPlaying && now - this.spoken >= SPOKEN) this.say(now);
    if (this.isPlaying || this.views.network.isFlashing(now)) this.request();
  }

  request() {
    this.frame ||= requestAnimationFrame((now) => this.tick(now));
  }

  /** As many as the speed asks for and the frame has time for. @param {number} now */
  takeSteps(now) {
    const passed = Math.min((now - (this.last || now)) / 1000, LONGEST);
    this.last = now;
    this.due = this.state.speed === "fastest" ? Infinity : this.due + passed * Number(this.state.speed);
    const start = performance.now();
    for (; this.due >= 1 && performance.now() - start < BUDGET; this.due--) {
      if (this.main.steps >= this.end || !this.areSound()) return this.pause();
      this.step();
    }
    this.due = Math.min(this.due, Number(this.state.speed) * LONGEST || 0); // steps that there was no time for
  }

  /** @param {number} [now] */
  draw(now = performance.now()) {
    const start = performance.now();
    this.views.draw(this.main, this.beside, this.editor.cross, now);
    this.pictured = now + performance.now() - start; // a slow device spends at most half of its time drawing
    if (this.views.network.isFlashing(now)) this.request();
  }

  /** For a screen reader, and rarely enough to be listened to. @param {number} [now] */
  say(now = performance.now()) {
    this.spoken = now;
    const beside = this.beside ? ` Second network: ${summary(this.beside)}` : "";
    this.part("spoken").textContent = `${this.isPlaying ? "Running. " : ""}${summary(this.main)}${beside}`;
  }

  /** The keyboard's cross has come to a place, or has gone. @param {[number, number] | null} place */
  point(place) {
    this.draw();
    if (place) this.part("spoken").textContent = judgement(this.main, place);
  }

  /** @param {string} words @param {boolean} [offersReset] */
  complain(words, offersReset = false) {
    this.part("trouble").textContent = words;
    this.part("again").hidden = !offersReset;
  }

  complainOfNumbers() {
    this.pause();
    this.complain(`At step ${this.main.steps} ${RAN_AWAY}`, true);
  }
}

for (const root of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll(".play"))) {
  root.dataset.state = "ready"; // a hidden canvas has no size and cannot be drawn on
  new Stage(root);
}
