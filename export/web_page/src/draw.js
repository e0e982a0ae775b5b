// @ts-check
/** Copies of a video with the tubes drawn into it. */

import {
  BlobSource,
  ALL_FORMATS,
  BufferTarget,
  Conversion,
  Input,
  Mp4OutputFormat,
  Output,
  WebMOutputFormat,
  canEncodeVideo,
} from "mediabunny";

import { drawBox } from "./overlay.js";

/** @typedef {import("./tubes.js").Tube} Tube */
/** @typedef {import("./video.js").Video} Video */

/**
 * Draws tubes into a copy of a video; the sound is kept.
 * @param {Blob} file
 * @param {Video} video
 * @param {{tube: Tube, color: string}[]} tubes
 * @param {(share: number) => void} onProgress
 * @param {AbortSignal} signal
 * @returns {Promise<{content: ArrayBuffer, type: string}>}
 */
export async function drawnVideo(file, video, tubes, onProgress, signal) {
  const { size, pixelAspect } = video;
  // The copy has square pixels. Encoders for 4:2:0 take even sizes only.
  const width = Math.max(Math.round(size.width * pixelAspect) & ~1, 2);
  const height = Math.max(size.height & ~1, 2);
  const [scaleX, scaleY] = [width / size.width, height / size.height];
  const isMp4 = await canEncodeVideo("avc", { width, height });
  const target = new BufferTarget();
  const output = new Output({
    format: isMp4 ? new Mp4OutputFormat({ fastStart: "in-memory" }) : new WebMOutputFormat(),
    target,
  });
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d");
  if (!context) throw new Error("This browser has no memory left for the video.");
  const conversion = await Conversion.init({
    input: new Input({ formats: ALL_FORMATS, source: new BlobSource(file) }),
    output,
    video: {
      codec: isMp4 ? "avc" : "vp9",
      forceTranscode: true,
      allowTransformationMetadata: false,
      width,
      height,
      fit: "fill",
      process: (sample) => {
        sample.draw(context, 0, 0, width, height);
        const frame = video.timeline.frameAt(sample.timestamp - video.start);
        for (const { tube, color } of tubes) {
          const box = tube.boxes[frame - tube.begin];
          if (!box) continue;
          const drawn = /** @type {typeof box} */ (
            box.map((side, place) => side * (place % 2 ? scaleY : scaleX))
          );
          drawBox(context, drawn, color, Math.max(2, Math.max(width, height) / 200));
        }
        return canvas;
      },
    },
  });
  if (!conversion.isValid) throw new Error("This browser cannot write a copy of this video.");
  conversion.onProgress = onProgress;
  signal.throwIfAborted();
  const cancel = () => void conversion.cancel();
  signal.addEventListener("abort", cancel);
  try {
    await conversion.execute();
  } finally {
    signal.removeEventListener("abort", cancel);
  }
  signal.throwIfAborted();
  return {
    content: /** @type {ArrayBuffer} */ (target.buffer),
    type: isMp4 ? "video/mp4" : "video/webm",
  };
}
