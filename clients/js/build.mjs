// Builds both packages: types from the API's document, declarations, one module each; then says how large they are.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import openapiTS, { astToString } from "openapi-typescript";

const HERE = fileURLToPath(new URL(".", import.meta.url));
const DOCUMENT = join(HERE, "../../docs/openapi.json");
const STAMP = join(HERE, "client/dist/built-from.txt");
const HOOKS_MOST = 8_000; // bytes, compressed: all hooks and what they need of the client

const SOURCES = ["client/src", "react/src"].flatMap((folder) =>
  readdirSync(join(HERE, folder)).filter((name) => name !== "openapi.ts").sort().map((name) => join(HERE, folder, name)),
);
const FILES = [DOCUMENT, join(HERE, "package-lock.json"), join(HERE, "tsconfig.json"), join(HERE, "build.mjs"), ...SOURCES];

/** Of everything that the packages are made from. */
function fingerprint() {
  const hash = createHash("sha256");
  for (const file of FILES) hash.update(file.slice(HERE.length)).update("\0").update(readFileSync(file)).update("\0");
  return hash.digest("hex");
}

/** Types of the document without its refusals, which are all the same and are classes here. */
async function writeTypes() {
  const document = JSON.parse(readFileSync(DOCUMENT, "utf8"));
  for (const methods of Object.values(document.paths))
    for (const operation of Object.values(methods))
      for (const [status, response] of Object.entries(operation.responses ?? {}))
        if (+status >= 400) delete operation.responses[status];
        else delete response.headers;
  const written = astToString(await openapiTS(document, { defaultNonNullable: false }));
  writeFileSync(join(HERE, "client/src/openapi.ts"), `// Made by build.mjs from docs/openapi.json.\n${written}`);
}

const bundle = (name, external) =>
  build({
    absWorkingDir: HERE, entryPoints: [`${name}/src/index.ts`], outfile: `${name}/dist/index.js`, external,
    bundle: true, format: "esm", target: "es2022", jsx: "automatic", logLevel: "warning", sourcemap: true,
    ...(name === "react" ? { banner: { js: '"use client";' } } : {}),
  });

/** Bytes of what a product's bundler would make of this, minified and compressed. */
async function sizeOf(contents) {
  const made = await build({
    stdin: { contents, resolveDir: join(HERE, "react"), loader: "js" }, bundle: true, format: "esm", target: "es2022",
    minify: true, write: false, external: ["react", "react/jsx-runtime"], logLevel: "error",
  });
  return gzipSync(made.outputFiles[0].contents, { level: 9 }).length;
}

const made = fingerprint();
const fresh = existsSync(STAMP) && readFileSync(STAMP, "utf8") === made;
if (process.argv.includes("--check")) {
  if (!fresh) console.error("clients/js is not built from what lies here: make clients");
  process.exit(fresh ? 0 : 1);
}
if (!fresh || process.argv.includes("--force")) {
  for (const name of ["client", "react"]) rmSync(join(HERE, name, "dist"), { recursive: true, force: true });
  await writeTypes();
  for (const name of ["client", "react"]) {
    execFileSync(process.execPath, [join(HERE, "node_modules/typescript/bin/tsc"), "-p", join(HERE, name)], { stdio: "inherit" });
    await bundle(name, name === "react" ? ["react", "react/jsx-runtime", "@headrace/client"] : []);
  }
}
const sizes = {
  hooks: await sizeOf('export * from "@headrace/react"'),
  client: await sizeOf('export { Headrace } from "@headrace/client"'),
  webhooks: await sizeOf('export { verifyWebhook } from "@headrace/client"'),
};
for (const [name, bytes] of Object.entries(sizes)) console.log(`${name.padEnd(10)}${String(bytes).padStart(6)} bytes compressed`);
if (sizes.hooks >= HOOKS_MOST || sizes.webhooks >= 1_500) {
  console.error(`too large: hooks may have ${HOOKS_MOST} bytes, and who only checks webhooks needs no client`);
  process.exit(1);
}
writeFileSync(STAMP, made);
