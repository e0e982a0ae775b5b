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
/** FFmpeg takes colours as left-sited in these codecs, and as centred in all others. */
const LEFT_SITED = ["avc", "hevc"];
/** WebCodecs' names of pixel formats: subsampling of the colours, alpha, bits if not 8. */
const PLANAR = /^I(420|422|444)A?(?:P(10|12))?$/;

/** @type {readonly [number, number, number]} shares of red, green and blue in luma */
const BT601 = [0.299, 0.587, 0.114];
/** @type {readonly [number, number, number]} */
const BT709 = [0.2126, 0.7152, 0.0722];
const SHARES = { bt709: BT709, bt470bg: BT601, smpte170m: BT601 };
const HIGH_DEFINITION = 720; // rows of frames that browsers take as BT.709 by default

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
   * @param {boolean} facts.leftSited whether colours are left-sited
   * @param {readonly [number, number, number] | null} facts.shares of red, green and blue in luma,
   *   as the browser's player takes the file; null if it changes other things too
   * @param {{width: number, height: number}} facts.size of the upright frame
   * @param {number} facts.pixelAspect width / height of a pixel of the upright frame
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
    this.pixelAspect = facts.pixelAspect;
    this.isHdr = facts.isHdr;
    this.missing = facts.missing;
    this.port = facts.port;
    /** Frames that could not be decoded so far. @type {Set<number>} */
    this.damaged = new Set();
    this.isRgb = facts.colors.matrix === "rgb";
    this.shares = facts.shares;
    this.resizer = new Resizer(FRAME_SIZE, facts.colors, facts.leftSited);
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
    if (!track) {
      throw new VideoError(
        (await input.getTracks()).length > 0
          ? "This file has no picture, only sound or data."
          : "This file contains no video. Is it complete?",
      );
    }
    const codec = await track.getCodec();
    if (!port && !(await track.canDecode())) throw await undecodable(track);
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
    if (shown.length === 0) {
      throw new VideoError("This video contains no frames. Is the file complete?");
    }
    const rotation = await track.getRotation();
    const colors = await track.getColorSpace();
    const isTurned = rotation % 180 !== 0;
    const { num, den } = await track.getPixelAspectRatio();
    const video = new Video(input, track, {
      timeline: new Timeline(shown, end - start, fps),
      start,
      colors,
      shares: playerShares(colors, height),
      leftSited: codec !== null && LEFT_SITED.includes(codec),
      size: isTurned ? { width: height, height: width } : { width, height },
      pixelAspect: isTurned ? den / num : num / den,
      isHdr: await track.hasHighDynamicRange(),
      missing,
      port,
    });
    if (port && !(await video.#seek(0))) throw await undecodable(track);
    return video;
  }

  /** Ends the reading of frames by the page. */
  close() {
    if (this.port) endFrames(this.port);
  }

  /**
   * Yields frames as RGB `[224, 224, 3]`, decoded from the nearest key frames. A damaged frame is
   * replaced by the one before it.
   * @param {number[]} numbers in ascending order
   */
  async *frames(numbers) {
    /** @type {Uint8Array | null} */
    let intact = null; // the last one
    for (const number of this.port ? numbers : []) {
      const rgb = await this.#seek(number);
      if (rgb === null) this.damaged.add(number);
      intact = rgb ?? intact;
      yield { number, rgb: this.#needed(intact, number) };
    }
    if (this.port) return;
    const stamps = numbers.map((number) => this.#stamp(number));
    const sink = new VideoSampleSink(this.track);
    let place = 0;
    let alone = false; // decoders that fail lose intact frames too, which are then tried singly
    while (place < numbers.length) {
      const wanted = alone ? [/** @type {number} */ (stamps[place])] : stamps.slice(place);
      try {
        for await (const sample of sink.samplesAtTimestamps(wanted)) {
          intact = (sample && (await this.#converted(sample))) ?? intact;
          const number = /** @type {number} */ (numbers[place++]);
          if (sample === null) this.damaged.add(number);
          yield { number, rgb: this.#needed(intact, number) };
        }
        alone = false;
      } catch (error) {
        if (!(error instanceof DOMException && error.name === "EncodingError")) throw error;
        alone = !alone;
        if (alone) continue;
        const number = /** @type {number} */ (numbers[place++]);
        this.damaged.add(number);
        yield { number, rgb: this.#needed(intact, number) };
      }
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
    if (rgba === null) return null;
    return this.shares
      ? this.resizer.fromConverted(rgba, width, height, this.shares)
      : this.resizer.fromRgba(rgba, width, height);
  }

  /**
   * @param {Uint8Array | null} rgb
   * @param {number} number of the frame
   */
  #needed(rgb, number) {
    if (rgb === null) throw new VideoError(`Frame ${number} of this video is damaged.`);
    return rgb;
  }

  /** @param {number} number of a frame */
  #stamp(number) {
    // A little later, since sums of time stamps are rounded.
    return /** @type {number} */ (this.timeline.times[number]) + this.start + 1e-6;
  }

  /** @param {VideoSample} sample which is closed */
  async #converted(sample) {
    try {
      return await this.#convert(sample);
    } finally {
      sample.close();
    }
  }

  /** @param {VideoSample} sample */
  async #convert(sample) {
    const { rotation, flip, format, visibleRect } = sample;
    const { width, height } = visibleRect;
    let rgb;
    if (format !== null && !this.isRgb && (format === "NV12" || PLANAR.test(format))) {
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

/**
 * @param {Awaited<ReturnType<InputVideoTrack["getColorSpace"]>>} colors
 * @param {number} height
 */
function playerShares({ matrix, primaries, transfer }, height) {
  const known = /** @type {Record<string, typeof BT601>} */ (SHARES);
  if (matrix && !(matrix in known)) return null;
  if (matrix && primaries && transfer) return known[matrix] ?? null;
  return height < HIGH_DEFINITION ? BT601 : BT709;
}

/** @param {InputVideoTrack} track */
async function undecodable(track) {
  const codec = (await track.getCodec()) ?? (await track.getInternalCodecId());
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
  const [, sampling, depth] = PLANAR.exec(format) ?? [];
  const halfX = sampling === "444" ? 0 : 1;
  const halfY = sampling === "444" || sampling === "422" ? 0 : 1;
  const size = depth ? 2 : 1; // bytes of a sample
  const samples = depth ? new Uint16Array(data.buffer) : data;
  /**
   * @param {PlaneLayout | undefined} at
   * @param {number} columns
   * @param {number} rows
   */
  const plane = (at, columns, rows) => ({
    ...{ data: samples, bits: Number(depth ?? 8), step: 1, width: columns, height: rows },
    ...{ offset: (at?.offset ?? 0) / size, stride: (at?.stride ?? 0) / size },
  });
  const luma = plane(y, width, height);
  const first = plane(u, (width + halfX) >> halfX, (height + halfY) >> halfY);
  if (format === "NV12") {
    return [luma, { ...first, step: 2 }, { ...first, offset: first.offset + 1, step: 2 }];
  }
  return [luma, first, plane(v, first.width, first.height)];
}
