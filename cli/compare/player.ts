// The clips of one prompt side by side, and the script that keeps them at one frame. It stands in
// the page as text: a report opens anywhere, without a server and without a network.
import { element, escaped } from "../../simulation/plot/svg.js";

export interface PlayerItem {
  readonly label: string;
  /** Below it, such as its PSNR. */
  readonly note: string;
  /** Address of the video or image: beside the page, or the file itself as data. */
  readonly source: string;
}

export interface PlayerOptions {
  readonly title: string;
  readonly items: readonly PlayerItem[];
  readonly frames: number;
  readonly fps: number;
}

/** One row of clips with its controls; images have none. */
export function player({ title, items, frames, fps }: PlayerOptions): string {
  const isVideo = frames > 1;
  const figures = items.map(({ label, note, source }) => {
    const media = isVideo
      ? element("video", { src: source, muted: "", playsinline: "", preload: "auto" }, "")
      : element("img", { src: source, alt: label });
    const caption = `<b>${escaped(label)}</b><br>${escaped(note)}`;
    return element("figure", {}, media, element("figcaption", {}, caption));
  });
  const range = { type: "range", min: 0, max: frames - 1, step: 1, value: 0 };
  const controls = element(
    "div",
    { class: "controls" },
    element("button", { type: "button" }, "Play"),
    element("input", { ...range, "aria-label": "frame" }),
  );
  return element(
    "section",
    { class: "player", "data-fps": fps },
    element("h3", {}, escaped(title)),
    isVideo ? controls : "",
    element("div", { class: "strip" }, ...figures),
  );
}

/**
 * The first clip is the clock: others that are off by more than half a frame are set to it. All
 * begin again together.
 */
export const playerScript = `
for (const row of document.querySelectorAll(".player")) {
  const videos = [...row.querySelectorAll("video")];
  const button = row.querySelector("button");
  const range = row.querySelector("input");
  if (!button || !range || videos.length === 0) continue;
  const [clock, ...others] = videos;
  const frameSeconds = 1 / Number(row.dataset.fps);
  const setAll = (seconds) => { for (const video of videos) video.currentTime = seconds; };
  const pauseAll = () => {
    for (const video of videos) video.pause();
    button.textContent = "Play";
  };
  const playAll = () => {
    setAll(clock.ended ? 0 : clock.currentTime);
    button.textContent = "Pause";
    for (const video of videos) video.play();
    requestAnimationFrame(follow);
  };
  const follow = () => {
    if (clock.ended) return playAll();
    if (clock.paused) return;
    for (const video of others) {
      const isOff = Math.abs(video.currentTime - clock.currentTime) > frameSeconds / 2;
      if (isOff) video.currentTime = clock.currentTime;
    }
    range.value = Math.floor(clock.currentTime / frameSeconds);
    requestAnimationFrame(follow);
  };
  button.addEventListener("click", () => (clock.paused ? playAll() : pauseAll()));
  range.addEventListener("input", () => {
    pauseAll();
    setAll((Number(range.value) + 0.5) * frameSeconds);
  });
}
`;
