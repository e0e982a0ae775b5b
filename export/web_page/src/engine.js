// @ts-check
/** The two networks, run by LiteRT.js in this worker. */

import { Tensor, loadAndCompile, loadLiteRt } from "@litertjs/core";

import { download } from "./download.js";

/** @typedef {import("@litertjs/core").CompiledModel} CompiledModel */
/** @typedef {(loaded: number, total: number) => void} OnBytes */

const MOST_THREADS = 4; // more do not help: the layers of I3D are small
const CLIP = [1, 8, 224, 224, 3]; // frames of a window, RGB
const RUNTIMES = { threaded: "litert_wasm_threaded_internal", single: "litert_wasm_internal" };
const COMPATIBLE = "litert_wasm_compat_internal";
/** A function without arguments that uses an instruction of relaxed SIMD. */
const RELAXED_SIMD = [
  ...[0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 15, 1, 13, 0, 65, 1],
  ...[253, 15, 65, 2, 253, 15, 253, 128, 2, 11],
];

/** Networks ready to run. */
export class Engine {
  /**
   * @param {CompiledModel} i3d
   * @param {CompiledModel} grounding
   * @param {{threads: number, accelerator: string}} facts
   */
  constructor(i3d, grounding, { threads, accelerator }) {
    this.i3d = i3d;
    this.grounding = grounding;
    this.threads = threads;
    this.accelerator = accelerator;
  }

  /**
   * Downloads the runtime and the networks.
   * @param {object} options
   * @param {URL} options.runtime folder of the runtime
   * @param {{i3d: URL, grounding: URL}} options.models
   * @param {boolean} options.gpu whether to try WebGPU
   * @param {number | null} options.threads number of threads; null for one per core, to a limit
   * @param {OnBytes} options.onBytes
   */
  static async load({ runtime, models, gpu, threads: wanted, onBytes }) {
    const relaxed = WebAssembly.validate(new Uint8Array(RELAXED_SIMD));
    const shared = self.crossOriginIsolated && relaxed;
    const cores = Math.min(navigator.hardwareConcurrency || 1, MOST_THREADS);
    const threads = shared ? (wanted ?? cores) : 1;
    const name = !relaxed ? COMPATIBLE : RUNTIMES[shared ? "threaded" : "single"];
    const script = new URL(`${name}.js`, runtime);
    const progress = sum(onBytes);
    const [wasm, i3d, grounding] = await Promise.all([
      download(new URL(`${name}.wasm.gz`, runtime), progress()),
      download(models.i3d, progress()),
      download(models.grounding, progress()),
    ]);
    // The runtime starts as many threads as the machine has.
    Object.defineProperty(navigator, "hardwareConcurrency", { value: threads });
    // Emscripten's options; its threads are workers that run the script again.
    const options = { wasmBinary: wasm, mainScriptUrlOrBlob: script.href, printErr };
    Object.assign(self, { Module: options });
    if (!gpu) Object.defineProperty(navigator, "gpu", { value: NO_GPU });
    await loadLiteRt(runtime.href, { threads: shared });
    const cpu = /** @type {const} */ ({
      accelerator: "wasm",
      cpuOptions: { numThreads: threads },
    });
    const encoder = (gpu && (await onGpu(i3d))) || (await loadAndCompile(i3d, cpu));
    const { accelerator } = encoder.options;
    return new Engine(encoder, await loadAndCompile(grounding, cpu), { threads, accelerator });
  }

  /**
   * Features of a window.
   * @param {Uint8Array} frames RGB `[8, 224, 224, 3]`
   */
  async encode(frames) {
    const { features } = await run(this.i3d, {
      frames: new Tensor(/** @type {any} */ (frames), CLIP),
    });
    return /** @type {Float32Array} */ (features);
  }

  /**
   * Outputs of the grounding network for one sentence in one clip.
   * @param {Float32Array} features `[T, S, S, C]`
   * @param {number[]} shape `[T, S, S, C]`
   * @param {Int32Array} stepMask `[T]`
   * @param {Int32Array} tokens `[N]`
   * @returns {Promise<Record<string, Float32Array>>}
   */
  async ground(features, shape, stepMask, tokens) {
    return run(this.grounding, {
      features: new Tensor(features, [1, ...shape]),
      step_mask: new Tensor(stepMask, [1, stepMask.length]),
      tokens: new Tensor(tokens, [1, tokens.length]),
    });
  }
}

/**
 * Compiles I3D for WebGPU and tries it; null if that fails.
 * @param {Uint8Array} i3d
 */
async function onGpu(i3d) {
  try {
    const model = await loadAndCompile(i3d, { accelerator: "webgpu" });
    const frames = new Uint8Array(CLIP.reduce((product, side) => product * side, 1));
    await run(model, { frames: new Tensor(/** @type {any} */ (frames), CLIP) });
    return model;
  } catch (error) {
    console.warn("WebGPU cannot run this network; the processor does.", error);
    return null;
  }
}

/**
 * Prints errors of the runtime, which logs everything else too.
 * @param {string} line
 */
function printErr(line) {
  if (!/^(INFO|WARNING)/.test(line)) console.error(line);
}

const NO_GPU = { requestAdapter: async () => null };

/**
 * @param {CompiledModel} model
 * @param {Record<string, Tensor>} inputs
 */
async function run(model, inputs) {
  const outputs = await model.run(inputs);
  /** @type {Record<string, Float32Array>} */
  const values = {};
  for (const [name, tensor] of Object.entries(outputs)) {
    values[name] = /** @type {Float32Array} */ (await tensor.data());
    tensor.delete();
  }
  for (const tensor of Object.values(inputs)) tensor.delete();
  return values;
}

/**
 * Adds up the bytes of several downloads.
 * @param {OnBytes} onBytes
 * @returns {() => OnBytes}
 */
function sum(onBytes) {
  /** @type {[number, number][]} */
  const all = [];
  return () => {
    const own = all.push([0, 0]) - 1;
    return (loaded, total) => {
      all[own] = [loaded, total];
      const total_ = (/** @type {0 | 1} */ place) =>
        all.reduce((bytes, each) => bytes + each[place], 0);
      onBytes(total_(0), total_(1));
    };
  };
}
