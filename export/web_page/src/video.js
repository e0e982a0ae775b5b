// @ts-check
/** Video files: times of all frames without decoding, and single frames decoded by WebCodecs. */

import { ALL_FORMATS, BlobSource, EncodedPacketSink, Input, VideoSampleSink } from "mediabunny";

import { Resizer, turnUpright } from "./resize.js";
import { askFrame, endFrames } from "./seeking.js";
import { Timeline } from "./timeline.js";

/** @typedef {import("mediabunny").InputVideoTrack} InputVideoTrack */
/** @typedef {import("mediabunny").VideoSample} VideoSample */

const FRAME_SIZE = 224;
const MAX_PIXELS = 2 ** 26;
/** Bytes of a sample and subsampling of the colours, by WebCodecs' name of the pixel format. */
const PLANAR = /** @type {Record<string, {half: [number, number]}>} */ ({
  I420: { half: [1, 1] },
  I420A: { half: [1, 1] },
  I422: { half: [1, 0] },
  I422A: { half: [1, 0] },
  I444: { half: [0, 0] },
  I444A: { half: [0, 0] },
});

/** A video that cannot be read, with a message for the user. */
export class VideoError extends Error {}

/** An opened video file. */
export class Video {
  /**
   * @param {Input} input
   * @param {InputVideoTrack} track
   * @param {object} facts
   * @param {Timeline} facts.timeline
   * @param {number} facts.start time stamp of the start of the file
   * @param {{matrix?: string | null, fullRange?: boolean | null}} facts.colors
   * @param {{width: number, height: number}} facts.size of the upright frame
   * @param {boolean} facts.isHdr
   * @param {number} facts.missing number of frames that the file announces but does not contain
   * @param {MessagePort | undefined} facts.port to the page, which seeks frames; without it,
   *   WebCodecs decodes
   */
  constructor(input, track, facts) {
    this.input = input;
    this.track = track;
    this.timeline = facts.timeline;
    this.start = facts.start;
    this.size = facts.size;
    this.isHdr = facts.isHdr;
    this.missing = facts.missing;
    this.port = facts.port;
    this.resizer = new Resizer(FRAME_SIZE, facts.colors);
  }

  /**
   * Opens a file; reads its index, not its frames.
   * @param {Blob} file
   * @param {number | null} fps frame rate of the training videos; null for every frame
   * @param {MessagePort} [port] see `Video`
   */
  static async open(file, fps, port) {
    const input = new Input({ formats: ALL_FORMATS, source: new BlobSource(file) });
    if (!(await input.canRead().catch(() => false))) {
      throw new VideoError(
        "This file is not a video that this page can read. It reads MP4, MOV, WebM, MKV and " +
          "MPEG-TS files. Is the file complete?",
      );
    }
    try {
      return await Video.#read(input, fps, port);
    } catch (error) {
      if (error instanceof VideoError) throw error;
      const reason = error instanceof Error ? error.message : String(error);
      throw new VideoError(`This file is damaged: ${reason}`);
    }
  }

  /**
   * @param {Input} input
   * @param {number | null} fps
   * @param {MessagePort} [port]
   */
  static async #read(input, fps, port) {
    const track = await input.getPrimaryVideoTrack();
    if (!track) throw new VideoError("This file has no picture, only sound or data.");
    const codec = (await track.getCodec()) ?? (await track.getInternalCodecId());
    if (!port && !(await track.canDecode())) throw undecodable(codec);
    const [width, height] = [await track.getCodedWidth(), await track.getCodedHeight()];
    if (width * height > MAX_PIXELS) {
      throw new VideoError(
        `Frames of ${width} x ${height} are too large; make a smaller copy of the video.`,
      );
    }
    const starts = await Promise.all(
      (await input.getTracks()).map((each) => each.getFirstTimestamp()),
    );
    // Frames before the start are removed by an edit list.
    const start = Math.max(Math.min(...starts), 0);
    const { stamps, end, missing } = await frameStamps(track);
    const shown = stamps.filter((stamp) => stamp >= 0).map((stamp) => stamp - start);
    if (shown.length === 0) throw new VideoError("This video contains no frames.");
    const rotation = await track.getRotation();
    const upright = rotation % 180 === 0 ? { width, height } : { width: height, height: width };
    const video = new Video(input, track, {
      timeline: new Timeline(shown, end - start, fps),
      start,
      colors: await track.getColorSpace(),
      size: upright,
      isHdr: await track.hasHighDynamicRange(),
      missing,
      port,
    });
    if (port && !(await video.#seek(0))) throw undecodable(codec);
    return video;
  }

  /** Ends the reading of frames by the page. */
  close() {
    if (this.port) endFrames(this.port);
  }

  /**
   * Yields frames as RGB `[224, 224, 3]`, decoded from the nearest key frames.
   * @param {number[]} numbers in ascending order
   */
  async *frames(numbers) {
    if (this.port) {
      for (const number of numbers) {
        const rgb = await this.#seek(number);
        if (!rgb) throw new VideoError(`Frame ${number} of this video is damaged.`);
        yield { number, rgb };
      }
      return;
    }
    const stamps = numbers.map((number) => this.#stamp(number));
    const sink = new VideoSampleSink(this.track);
    let previous = null;
    let place = 0;
    for await (const sample of sink.samplesAtTimestamps(stamps)) {
      const number = /** @type {number} */ (numbers[place]);
      place += 1;
      try {
        // A lost frame is replaced by the previous one.
        previous = sample === null ? previous : await this.#convert(sample);
      } finally {
        sample?.close();
      }
      if (previous === null) throw new VideoError(`Frame ${number} of this video is damaged.`);
      yield { number, rgb: previous };
    }
  }

  /**
   * A frame as RGB `[224, 224, 3]`, read by the page; null if the browser cannot decode it.
   * @param {number} number
   */
  async #seek(number) {
    const { width, height } = this.size;
    const time = this.timeline.insideFrame(number);
    const rgba = await askFrame(/** @type {MessagePort} */ (this.port), { time, width, height });
    return rgba && this.resizer.fromRgba(rgba, width, height);
  }

  /** @param {number} number of a frame */
  #stamp(number) {
    // A little later, since sums of time stamps are rounded.
    return /** @type {number} */ (this.timeline.times[number]) + this.start + 1e-6;
  }

  /** @param {VideoSample} sample */
  async #convert(sample) {
    const { rotation, flip, format, visibleRect } = sample;
    const { width, height } = visibleRect;
    let rgb;
    if (format !== null && (format === "NV12" || format in PLANAR)) {
      const data = new Uint8Array(sample.allocationSize());
      const layout = await sample.copyTo(data);
      rgb = this.resizer.fromPlanes(planes(data, layout, format, width, height));
    } else {
      // Other formats, such as those of a GPU: the browser converts the colours.
      const canvas = new OffscreenCanvas(width, height);
      const context = canvas.getContext("2d", { willReadFrequently: true });
      if (!context) throw new VideoError("This browser has no memory left for the video.");
      const frame = sample.toVideoFrame();
      context.drawImage(frame, 0, 0, width, height);
      frame.close();
      rgb = this.resizer.fromRgba(context.getImageData(0, 0, width, height).data, width, height);
    }
    return turnUpright(rgb, FRAME_SIZE, { rotation, flip });
  }
}

/** @param {unknown} codec */
function undecodable(codec) {
  return new VideoError(
    `This browser cannot decode this file (video codec ${codec ?? "unknown"}). Convert it to MP4 ` +
      "with H.264 or to WebM with VP9, or try another browser.",
  );
}

/**
 * Time stamps of all frames in ascending order, and the end of the last one, in seconds.
 * @param {InputVideoTrack} track
 */
async function frameStamps(track) {
  const sink = new EncodedPacketSink(track);
  /** @type {{stamp: number, end: number}[]} */
  const found = [];
  for await (const packet of sink.packets(undefined, undefined, { metadataOnly: true })) {
    found.push({ stamp: packet.timestamp, end: packet.timestamp + packet.duration });
  }
  found.sort((a, b) => a.stamp - b.stamp);
  // A file that is cut off announces more frames than it contains.
  let count = found.length;
  for (let low = 0; low < count && !(await isReadable(sink, found[count - 1]?.stamp));) {
    const middle = (low + count - 1) >> 1;
    if (await isReadable(sink, found[middle]?.stamp)) low = middle + 1;
    else count = middle;
  }
  const kept = found.slice(0, count);
  return {
    stamps: kept.map(({ stamp }) => stamp),
    end: kept.reduce((last, { end }) => Math.max(last, end), 0),
    missing: found.length - count,
  };
}

/**
 * @param {EncodedPacketSink} sink
 * @param {number} stamp
 */
async function isReadable(sink, stamp = 0) {
  try {
    return (await sink.getPacket(stamp)) !== null;
  } catch {
    return false;
  }
}

/**
 * @param {Uint8Array} data
 * @param {PlaneLayout[]} layout
 * @param {string} format
 * @param {number} width
 * @param {number} height
 * @returns {[import("./resize.js").Plane, import("./resize.js").Plane, import("./resize.js").Plane]}
 */
function planes(data, layout, format, width, height) {
  const [y, u, v] = layout;
  const [halfX, halfY] = PLANAR[format]?.half ?? [1, 1];
  const color = { data, width: (width + halfX) >> halfX, height: (height + halfY) >> halfY };
  const luma = { data, width, height, offset: y?.offset ?? 0, stride: y?.stride ?? 0, step: 1 };
  const first = { ...color, offset: u?.offset ?? 0, stride: u?.stride ?? 0 };
  if (format === "NV12") {
    return [luma, { ...first, step: 2 }, { ...first, offset: first.offset + 1, step: 2 }];
  }
  const second = { ...color, offset: v?.offset ?? 0, stride: v?.stride ?? 0 };
  return [luma, { ...first, step: 1 }, { ...second, step: 1 }];
}
