// @ts-check
/** Builds the page: bundles the scripts and copies the runtime of LiteRT.js into dist. */

import crypto from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import zlib from "node:zlib";

import * as esbuild from "esbuild";

const HERE = import.meta.dirname;
const DIST = path.join(HERE, "dist");
const RUNTIME = path.join(HERE, "node_modules/@litertjs/core/wasm");
const RUNTIMES = [
  "litert_wasm_internal",
  "litert_wasm_threaded_internal",
  "litert_wasm_compat_internal",
];
const STATIC = ["index.html", "style.css", "favicon.svg"];
const BUNDLED = ["@litertjs/core", "@litertjs/wasm-utils", "mediabunny"];

// What the built files depend on; a test compares the sum.
const SOURCES = [
  ...STATIC,
  "build.js",
  "package-lock.json",
  ...fs
    .readdirSync(at("src"))
    .sort()
    .map((name) => `src/${name}`),
];

/** @param {string} name */
function at(name) {
  return path.join(HERE, name);
}

fs.rmSync(DIST, { recursive: true, force: true });
fs.mkdirSync(path.join(DIST, "runtime"), { recursive: true });
for (const name of STATIC) fs.copyFileSync(at(name), path.join(DIST, name));

/** @type {import("esbuild").BuildOptions} */
const options = {
  bundle: true,
  minify: true,
  target: ["chrome94", "firefox130", "safari16.4"],
  legalComments: "none",
  charset: "utf8",
  outdir: DIST,
};
await esbuild.build({ ...options, format: "esm", entryPoints: [at("src/page.js")] });
// The runtime is loaded by importScripts, which only classic workers have.
await esbuild.build({
  ...options,
  format: "iife",
  entryPoints: [at("src/worker.js"), at("src/service-worker.js")],
});

for (const name of RUNTIMES) {
  const script = fs.readFileSync(path.join(RUNTIME, `${name}.js`), "utf8");
  const { code } = await esbuild.transform(script, { minify: true, charset: "utf8" });
  fs.writeFileSync(path.join(DIST, "runtime", `${name}.js`), code);
  const wasm = fs.readFileSync(path.join(RUNTIME, `${name}.wasm`));
  fs.writeFileSync(
    path.join(DIST, "runtime", `${name}.wasm.gz`),
    zlib.gzipSync(wasm, { level: 9 }),
  );
}

fs.writeFileSync(path.join(DIST, "licences.txt"), licences());

const sum = crypto.createHash("sha256");
for (const name of SOURCES) sum.update(`${name}\0`).update(fs.readFileSync(at(name)));
fs.writeFileSync(path.join(DIST, "sources.sha256"), `${sum.digest("hex")}\n`);

let total = 0;
for (const entry of fs.readdirSync(DIST, { recursive: true, withFileTypes: true })) {
  if (entry.isFile()) total += fs.statSync(path.join(entry.parentPath, entry.name)).size;
}
console.log(`${path.relative(process.cwd(), DIST)}: ${(total / 1e6).toFixed(1)} MB`);

/** Names, versions and licence texts of the packages in the bundles. */
function licences() {
  const texts = BUNDLED.map((name) => {
    const folder = path.join(HERE, "node_modules", name);
    const { version, license, repository } = JSON.parse(
      fs.readFileSync(path.join(folder, "package.json"), "utf8"),
    );
    const url = typeof repository === "string" ? repository : repository.url;
    const file = path.join(folder, "LICENSE");
    const text = fs.existsSync(file)
      ? fs.readFileSync(file, "utf8")
      : "The package has no file with the text; see the Apache License 2.0 at the end.\n";
    return `${name} ${version}\nLicence: ${license}\nSource: ${url}\n\n${text}`;
  });
  const apache = fs.readFileSync(path.join(HERE, "../../LICENSE"), "utf8");
  const intro = "Software in this web page besides that of GKCMN-TF (Apache License 2.0):\n";
  const end = `Apache License 2.0 (GKCMN-TF, @litertjs/core, @litertjs/wasm-utils)\n\n${apache}`;
  const line = `\n${"-".repeat(80)}\n\n`;
  return [intro, ...texts, end].join(line);
}
