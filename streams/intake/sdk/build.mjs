// Makes build/contract.ts of the contracts' JSON Schemas, then bundles src/ into dist/sdk.js (or, with --test, test/ for
// node's test runner). Nothing is fetched, now or at run time.
import { mkdir, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { contract } from "./contract.mjs";

const SCHEMAS = new URL("../../../schemas/generated/events/", import.meta.url);
const TOPICS = { Playback: "user.playback.events", Ui: "user.ui.events" };
const TESTS = "node_modules/.tests";

async function makeContract() {
  const schemas = {};
  for (const [name, topic] of Object.entries(TOPICS))
    schemas[name] = JSON.parse(await readFile(new URL(`${topic}.json`, SCHEMAS), "utf8"));
  await mkdir("build", { recursive: true });
  await writeFile("build/contract.ts", contract(schemas));
}

async function bundle() {
  await rm("dist", { recursive: true, force: true });
  await mkdir("dist");
  await build({
    entryPoints: ["src/index.ts"],
    outfile: "dist/sdk.js",
    bundle: true,
    format: "iife",
    // What the televisions and telephones of the last years run.
    target: "es2019",
    minify: true,
    legalComments: "none",
    banner: { js: "/* playlake SDK, Apache-2.0 */" },
  });
  const bytes = await readFile("dist/sdk.js");
  console.log(`dist/sdk.js: ${bytes.length} bytes, ${gzipSync(bytes, { level: 9 }).length} gzipped`);
}

async function tests() {
  await rm(TESTS, { recursive: true, force: true });
  const entryPoints = (await readdir("test")).filter((name) => name.endsWith(".test.ts")).map((name) => `test/${name}`);
  const outExtension = { ".js": ".mjs" };
  await build({ entryPoints, outdir: TESTS, outExtension, bundle: true, format: "esm", target: "es2022", platform: "node" });
}

await makeContract();
await (process.argv.includes("--test") ? tests() : bundle());
