// @ts-check
/**
 * Frames of a video without WebCodecs: the page seeks in a `<video>` element, which workers do not
 * have, and the worker asks for frames through a port.
 */

const LONGEST_WAIT = 200; // for a frame, in milliseconds

/**
 * Answers the questions of the worker with frames of a file.
 * @param {Blob} file
 * @returns {MessagePort} the worker's end
 */
export function serveFrames(file) {
  const { port1, port2 } = new MessageChannel();
  const url = URL.createObjectURL(file);
  const video = document.createElement("video");
  Object.assign(video, { muted: true, playsInline: true, preload: "auto" });
  const canvas = document.createElement("canvas");
  const context = canvas.getContext("2d", { willReadFrequently: true });
  port1.onmessage = async ({ data: wanted }) => {
    if (wanted === null) {
      URL.revokeObjectURL(url);
      return;
    }
    const { time, width, height } = wanted;
    try {
      if (!video.src) await settled(video, () => (video.src = url));
      const shown = nextFrame(video);
      await settled(video, () => (video.currentTime = time));
      await shown;
      if (canvas.width !== width) canvas.width = width;
      if (canvas.height !== height) canvas.height = height;
      context?.drawImage(video, 0, 0, width, height);
      port1.postMessage(context?.getImageData(0, 0, width, height).data ?? null);
    } catch {
      video.removeAttribute("src"); // a player that has failed stays so
      video.load();
      port1.postMessage(null);
    }
  };
  return port2;
}

/**
 * Waits until a video shows its first frame or the frame that it was to seek.
 * @param {HTMLVideoElement} video
 * @param {() => void} cause
 * @returns {Promise<Event>} rejected if the browser cannot decode the video
 */
function settled(video, cause) {
  return new Promise((resolve, reject) => {
    video.onloadeddata = resolve;
    video.onseeked = resolve;
    video.onerror = reject;
    if (video.error) reject(video.error);
    else cause();
  });
}

/**
 * Waits until a frame is ready to be drawn, which may be after the end of seeking.
 * @param {HTMLVideoElement} video
 */
function nextFrame(video) {
  return new Promise((resolve) => {
    // Hidden pages do not show frames, and some browsers do not say when they do.
    setTimeout(resolve, document.hidden ? 0 : LONGEST_WAIT);
    if ("requestVideoFrameCallback" in video) video.requestVideoFrameCallback(resolve);
  });
}

/**
 * Asks the page for a frame, one at a time.
 * @param {MessagePort} port the worker's end
 * @param {{time: number, width: number, height: number}} wanted
 * @returns {Promise<Uint8ClampedArray | null>} RGBA; null if the browser cannot decode it
 */
export function askFrame(port, wanted) {
  return new Promise((resolve) => {
    port.onmessage = ({ data }) => resolve(data);
    port.postMessage(wanted);
  });
}

/**
 * Tells the page that no more frames are wanted.
 * @param {MessagePort} port the worker's end
 */
export function endFrames(port) {
  port.postMessage(null);
}
