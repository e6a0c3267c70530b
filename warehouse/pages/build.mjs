// Bundles src/ into dist/ (or, with --test, test/ into node_modules/.tests for node's test runner). Nothing is fetched at run time.
import { createHash } from "node:crypto";
import { readFile, readdir, rm, writeFile } from "node:fs/promises";
import { basename } from "node:path";
import { build } from "esbuild";

const TESTS = "node_modules/.tests";
const common = { bundle: true, format: "esm", target: "es2022", jsx: "automatic", jsxImportSource: "preact" };

async function pages() {
  await rm("dist", { recursive: true, force: true });
  const result = await build({
    ...common,
    entryPoints: { app: "src/app.tsx", stream: "src/data/stream-worker.ts", styles: "src/styles/all.css" },
    outdir: "dist",
    entryNames: "[name]-[hash]",
    chunkNames: "[name]-[hash]",
    splitting: true, // what few pages need (the grid) is loaded when one of them does
    assetNames: "[name]-[hash]",
    loader: { ".woff2": "file" },
    minify: true,
    sourcemap: true,
    metafile: true,
    legalComments: "linked",
  });
  const files = Object.entries(result.metafile.outputs);
  const made = (entry) => basename(files.find(([, output]) => output.entryPoint === entry)[0]);
  const names = {
    app: made("src/app.tsx"),
    stream: made("src/data/stream-worker.ts"),
    styles: made("src/styles/all.css"),
    font: basename(files.map(([name]) => name).find((name) => /inter-latin-wght-normal-.*\.woff2$/.test(name))),
  };
  const template = await readFile("src/index.html", "utf8");
  // The build's name is the hash of what is served: an open page sees from it that newer pages are there.
  const id = createHash("sha256").update(template).update(JSON.stringify(names)).digest("hex").slice(0, 12);
  const html = Object.entries({ ...names, id }).reduce((text, [key, value]) => text.replaceAll(`{{${key}}}`, value), template);
  await writeFile("dist/index.html", html);
  await writeFile("dist/build.json", JSON.stringify({ id }) + "\n");
  const size = (name) => Math.round(files.find(([path]) => basename(path) === name)[1].bytes / 1024);
  console.log(`dist/ ${id}: ${names.app} ${size(names.app)} kB, ${names.styles} ${size(names.styles)} kB`);
}

async function tests() {
  await rm(TESTS, { recursive: true, force: true });
  const entryPoints = (await readdir("test")).filter((name) => name.endsWith(".test.ts")).map((name) => `test/${name}`);
  await build({ ...common, entryPoints, outdir: TESTS, outExtension: { ".js": ".mjs" }, platform: "node" });
}

await (process.argv.includes("--test") ? tests() : pages());
