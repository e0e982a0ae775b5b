// @ts-check
/** Calls of the worker. */

/** An error of the worker; `expected` if its message is for users. */
export class WorkerError extends Error {
  /** @param {{name: string, message: string, expected: boolean}} error */
  constructor({ name, message, expected }) {
    super(message);
    this.name = name;
    this.expected = expected;
  }
}

/** Runs actions in the worker. */
export class Client {
  #worker;
  #next = 0;
  #hasStarted = false;
  /** Why the worker did not start. @type {Error | null} */
  #failure = null;
  /**
   * @type {Map<number, {resolve: (result: any) => void, reject: (error: Error) => void,
   *   onProgress?: (progress: any) => void}>}
   */
  #waiting = new Map();

  constructor() {
    this.#worker = new Worker(new URL("worker.js", document.baseURI));
    this.#worker.onmessage = ({ data: { id, result, error, progress } }) => {
      this.#hasStarted = true;
      const call = this.#waiting.get(id);
      if (progress !== undefined) {
        call?.onProgress?.(progress);
        return;
      }
      this.#waiting.delete(id);
      if (error) call?.reject(new WorkerError(error));
      else call?.resolve(result);
    };
    this.#worker.onerror = (event) => {
      const message = event.message || "The worker of this page cannot start.";
      const failure = new Error(message);
      if (!this.#hasStarted) this.#failure = failure;
      for (const { reject } of this.#waiting.values()) reject(failure);
      this.#waiting.clear();
    };
  }

  /**
   * @param {string} action see worker.js
   * @param {object} [options]
   * @param {(progress: any) => void} [onProgress]
   * @param {Transferable[]} [moved] parts of the options that the worker takes over
   * @returns {Promise<any>}
   */
  call(action, options = {}, onProgress, moved = []) {
    if (this.#failure) return Promise.reject(this.#failure);
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject, ...(onProgress ? { onProgress } : {}) });
      this.#worker.postMessage({ id, action, options }, moved);
    });
  }

  /** Ends the actions that are running. */
  cancel() {
    this.#worker.postMessage({ action: "cancel" });
  }
}
