// Writes dist/BUILD.json: a hash over all inputs of the build, the hash and the
// sizes of every output, and the versions of the tools. A Go test compares it
// with what is on disk, so that a stale dist is found without Node.
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

const app = fileURLToPath(new URL(".", import.meta.url));
const dist = join(app, "..", "dist");
const sha = (data) => createHash("sha256").update(data).digest("hex");

function walk(dir) {
  return readdirSync(dir)
    .sort()
    .flatMap((name) => (statSync(join(dir, name)).isDirectory() ? walk(join(dir, name)) : [join(dir, name)]));
}

const slash = (root, file) => relative(root, file).split(sep).join("/");

// Tests are no input: they change nothing of what is built.
const inputs = ["build-info.js", "package.json", "package-lock.json", "tsconfig.json", "vite.config.ts"]
  .map((name) => join(app, name))
  .concat(walk(join(app, "src")), walk(join(app, "public")))
  .filter((file) => !/\.test\.tsx?$/.test(file))
  .map((file) => [slash(app, file), file])
  .sort(([a], [b]) => (a < b ? -1 : 1));

const sum = createHash("sha256");
for (const [name, file] of inputs) sum.update(`${name}\0${sha(readFileSync(file))}\n`);

const outputs = {};
for (const file of walk(dist)) {
  const name = slash(dist, file);
  if (name === "BUILD.json") continue;
  const data = readFileSync(file);
  const gz = /\.(js|css|svg|txt|json)$/.test(name) ? gzipSync(data, { level: 9 }).length : data.length;
  outputs[name] = { sha256: sha(data), bytes: data.length, gzip: gz };
}

const lock = JSON.parse(readFileSync(join(app, "package-lock.json"), "utf8"));
const version = (name) => lock.packages[`node_modules/${name}`]?.version ?? "";
const build = {
  inputs: sum.digest("hex"),
  versions: Object.fromEntries(
    ["preact", "@preact/signals", "uplot", "@codemirror/view", "vite", "typescript"].map((name) => [name, version(name)]),
  ),
  outputs,
};
writeFileSync(join(dist, "BUILD.json"), `${JSON.stringify(build, null, 2)}\n`);
const total = Object.values(outputs).reduce((n, o) => n + o.bytes, 0);
for (const [name, o] of Object.entries(outputs)) console.log(name.padEnd(24), String(o.bytes).padStart(8), String(o.gzip).padStart(8));
console.log("total".padEnd(24), String(total).padStart(8));
