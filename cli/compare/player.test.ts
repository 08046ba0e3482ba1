// The page's script runs here on plain objects with the few members of a video that it uses.
import assert from "node:assert/strict";
import { test } from "node:test";
import { runInNewContext } from "node:vm";
import { player, playerScript } from "./player.js";

class Element {
  textContent = "";
  value = "";
  readonly dataset = { fps: "8" };
  readonly #listeners = new Map<string, () => void>();
  addEventListener(name: string, listener: () => void): void {
    this.#listeners.set(name, listener);
  }
  fire(name: string): void {
    this.#listeners.get(name)?.();
  }
}

class Video {
  currentTime = 0;
  paused = true;
  ended = false;
  play(): void {
    this.paused = false;
    this.ended = false;
  }
  pause(): void {
    this.paused = true;
  }
}

/** A row of clips with the script run on it; `frame` draws one frame of the browser. */
function row(count: number) {
  const videos = Array.from({ length: count }, () => new Video());
  const [button, range] = [new Element(), new Element()];
  const section = {
    dataset: { fps: "8" },
    querySelectorAll: () => videos,
    querySelector: (name: string) => (name === "button" ? button : range),
  };
  let drawing: (() => void) | undefined;
  const requestAnimationFrame = (next: () => void) => {
    drawing = next;
  };
  runInNewContext(playerScript, {
    document: { querySelectorAll: () => [section] },
    requestAnimationFrame,
  });
  const frame = () => {
    const now = drawing;
    drawing = undefined;
    now?.();
  };
  return { videos, button, range, frame };
}

test("play starts all clips at the first one's frame, pause stops them", () => {
  const { videos, button } = row(3);
  videos.forEach((video, index) => {
    video.currentTime = index;
  });
  button.fire("click");
  assert.deepEqual(
    videos.map(({ currentTime, paused }) => [currentTime, paused]),
    [
      ...[
        [0, false],
        [0, false],
        [0, false],
      ],
    ],
  );
  assert.equal(button.textContent, "Pause");
  button.fire("click");
  assert.ok(videos.every(({ paused }) => paused));
  assert.equal(button.textContent, "Play");
});

test("a clip that is off by more than half a frame is set to the first one", () => {
  const { videos, button, range, frame } = row(3);
  button.fire("click");
  const [clock, near, far] = videos;
  assert.ok(clock && near && far);
  [clock.currentTime, near.currentTime, far.currentTime] = [0.5, 0.45, 0.43];
  frame();
  assert.deepEqual([near.currentTime, far.currentTime], [0.45, 0.5]);
  assert.equal(Number(range.value), 4);
});

test("all begin again when the first one has ended", () => {
  const { videos, button, frame } = row(2);
  button.fire("click");
  const [clock] = videos;
  assert.ok(clock);
  [clock.currentTime, clock.ended] = [2, true];
  frame();
  assert.deepEqual(
    videos.map(({ currentTime, paused }) => [currentTime, paused]),
    [
      ...[
        [0, false],
        [0, false],
      ],
    ],
  );
});

test("the slider shows one frame of all clips", () => {
  const { videos, button, range } = row(2);
  button.fire("click");
  range.value = "3";
  range.fire("input");
  assert.deepEqual(
    videos.map(({ currentTime, paused }) => [currentTime, paused]),
    [
      ...[
        [3.5 / 8, true],
        [3.5 / 8, true],
      ],
    ],
  );
});

test("labels and notes are shown as text", () => {
  const items = [{ label: "a<b", note: "c&d", source: "data:," }];
  const html = player({ title: "<i>", items, frames: 9, fps: 8 });
  assert.ok(html.includes("<h3>&lt;i&gt;</h3>"));
  assert.ok(html.includes("<b>a&lt;b</b><br>c&amp;d"));
  assert.ok(html.includes('max="8"'));
});
