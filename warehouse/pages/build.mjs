// Bundles src/ into dist/ (or, with --test, test/ into node_modules/.tests for node's test runner). Nothing is fetched at run time.
import { createHash } from "node:crypto";
import { readFile, readdir, rm, writeFile } from "node:fs/promises";
import { basename } from "node:path";
import { build } from "esbuild";

const TESTS = "node_modules/.tests";
const QUESTIONS = "../../docs/sql.md";

/** `playlake:examples`: every `### title` with its SQL below the heading of the document that has the questions. */
const examples = {
  name: "examples",
  setup(build) {
    build.onResolve({ filter: /^playlake:examples$/ }, ({ path }) => ({ path, namespace: "examples" }));
    build.onLoad({ filter: /.*/, namespace: "examples" }, async () => {
      const [, section = ""] = (await readFile(QUESTIONS, "utf8")).split("\n## Questions to start from\n");
      const found = section.split("\n## ")[0].matchAll(/^### (.+)\n\n```sql\n([^]*?)\n```$/gm);
      return { contents: JSON.stringify(Array.from(found, ([, title, sql]) => ({ title, sql }))), loader: "json" };
    });
  },
};
const common = { bundle: true, format: "esm", target: "es2022", jsx: "automatic", jsxImportSource: "preact", plugins: [examples] };

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
  // What the application is made of is fetched beside it, not after it.
  const app = result.metafile.outputs[`dist/${names.app}`];
  const parts = app.imports.filter(({ kind }) => kind === "import-statement").map(({ path }) => basename(path));
  names.parts = parts.map((name) => `<link rel="modulepreload" href="/pages/${name}" />`).join("");
  const template = await readFile("src/index.html", "utf8");
  // The build's name is the hash of what is served: an open page sees from it that newer pages are there.
  const id = createHash("sha256").update(template).update(JSON.stringify(names)).digest("hex").slice(0, 12);
  const html = Object.entries({ ...names, id }).reduce((text, [key, value]) => text.replaceAll(`{{${key}}}`, value), template);
  await writeFile("dist/index.html", html);
  await writeFile("dist/build.json", JSON.stringify({ id }) + "\n");
  const size = (...named) => Math.round(files.reduce((sum, [path, { bytes }]) => sum + (named.includes(basename(path)) ? bytes : 0), 0) / 1024);
  console.log(`dist/ ${id}: ${names.app} and its parts ${size(names.app, ...parts)} kB, ${names.styles} ${size(names.styles)} kB`);
}

async function tests() {
  await rm(TESTS, { recursive: true, force: true });
  const entryPoints = (await readdir("test")).filter((name) => name.endsWith(".test.ts")).map((name) => `test/${name}`);
  await build({ ...common, entryPoints, outdir: TESTS, outExtension: { ".js": ".mjs" }, platform: "node" });
}

await (process.argv.includes("--test") ? tests() : pages());
