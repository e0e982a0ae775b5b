// @ts-check
/** Videos without their alpha channel. */

import { EncodedPacketSink } from "mediabunny";

/** @typedef {(...options: any[]) => Promise<import("mediabunny").EncodedPacket | null>} GetPacket */

/**
 * Makes Mediabunny ignore alpha channels, as for training. It has no option for it, and merges
 * them in a worker that the policy of the page forbids.
 */
export function ignoreAlpha() {
  const prototype = /** @type {Record<string, GetPacket>} */ (
    /** @type {unknown} */ (EncodedPacketSink.prototype)
  );
  for (const name of ["getPacket", "getKeyPacket", "getNextPacket"]) {
    const get = /** @type {GetPacket} */ (prototype[name]);
    prototype[name] = async function (...options) {
      const packet = await get.apply(this, options);
      if (packet !== null) delete packet.sideData.alpha;
      return packet;
    };
  }
}
