// The resolutions and aspect ratios that Open-Sora users name, as pixels. A ratio is height to
// width, so "9:16" is landscape.
import { FarmError } from "../common/errors.js";

export interface FrameSize {
  readonly height: number;
  readonly width: number;
}

const columns = ["144p", "240p", "360p", "480p", "720p", "1080p", "2k", "4k"] as const;

// Open-Sora v1.2's table; each row is a ratio and HEIGHTxWIDTH for each column.
const rows = [
  "3:8 117x312 196x522 294x784 392x1046 588x1568 882x2352 1176x3136 1764x4704",
  "9:21 125x291 210x490 314x732 420x980 628x1466 942x2198 1256x2930 1886x4400",
  "12:25 133x277 222x462 332x692 444x925 666x1388 998x2080 1330x2770 1996x4158",
  "1:2 135x270 226x452 340x680 452x904 678x1356 1018x2036 1358x2716 2036x4072",
  "9:17 139x262 232x438 350x662 466x880 698x1318 1048x1980 1398x2640 2096x3960",
  "27:50 141x260 236x436 352x652 470x870 706x1306 1058x1958 1412x2612 2118x3918",
  "9:16 144x256 240x426 360x640 480x854 720x1280 1080x1920 1440x2560 2160x3840",
  "5:8 151x241 252x404 380x608 506x810 758x1212 1138x1820 1518x2428 2276x3642",
  "2:3 156x234 262x393 392x588 522x784 784x1176 1176x1764 1568x2352 2352x3528",
  "3:4 166x221 276x368 416x554 554x738 832x1110 1248x1664 1662x2216 2494x3326",
  "1:1 192x192 320x320 480x480 640x640 960x960 1440x1440 1920x1920 2880x2880",
  "4:3 221x165 370x278 554x416 740x555 1108x832 1662x1246 2218x1664 3326x2494",
  "3:2 235x156 392x262 588x392 784x522 1176x784 1764x1176 2352x1568 3528x2352",
  "16:9 256x144 426x240 640x360 854x480 1280x720 1920x1080 2560x1440 3840x2160",
  "17:9 263x139 440x232 660x350 880x466 1320x698 1980x1048 2638x1396 3958x2096",
  "2:1 271x135 452x226 678x340 906x454 1358x680 2036x1018 2716x1358 4072x2036",
  "50:27 277x132 462x222 692x332 924x444 1386x666 2078x998 2772x1330 4156x1994",
].map((row) => row.split(" "));

// Names that PixArt users know. Upstream has other ratios for them, of which almost none resolves.
const squares = ["256", "512", "1024", "2048", "2880"] as const;

export const defaultResolution = "240p";

/** The one that a resolution is thought of with. */
export function defaultAspectRatio(resolution: string): string {
  return isSquare(resolution) ? "1:1" : "9:16";
}

function isSquare(resolution: string): boolean {
  return (squares as readonly string[]).includes(resolution);
}

/** Height and width of a named size. Throws INVALID_ARGUMENT with what is known. */
export function namedSize(resolution: string, aspectRatio: string): FrameSize {
  if (isSquare(resolution)) return square(resolution, aspectRatio);
  const column = (columns as readonly string[]).indexOf(resolution);
  if (column < 0) {
    throw new FarmError(
      "INVALID_ARGUMENT",
      `--resolution is ${resolution}; known are ${[...columns, ...squares].join(", ")}; ` +
        "or give --image-size HxW",
    );
  }
  const row = rows.find(([ratio]) => ratio === aspectRatio);
  const [height, width] = (row?.[column + 1] ?? "").split("x").map(Number);
  if (height === undefined || width === undefined) {
    throw new FarmError(
      "INVALID_ARGUMENT",
      `--aspect-ratio is ${aspectRatio}; known are ${rows.map(([ratio]) => ratio).join(", ")} ` +
        "(height:width); or give --image-size HxW",
    );
  }
  return { height, width };
}

function square(resolution: string, aspectRatio: string): FrameSize {
  if (aspectRatio !== "1:1") {
    throw new FarmError(
      "INVALID_ARGUMENT",
      `--resolution ${resolution} is a square: give --aspect-ratio 1:1, or --image-size HxW`,
    );
  }
  return { height: Number(resolution), width: Number(resolution) };
}
