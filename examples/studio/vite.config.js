// @headrace/client and @headrace/react are taken from this repository, as `make clients` builds them; a product installs them from npm.
import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";

const clients = (name) => fileURLToPath(new URL(`../../clients/js/${name}/dist/index.js`, import.meta.url));

export default defineConfig({
  base: "/studio/",
  resolve: {
    alias: { "@headrace/client": clients("client"), "@headrace/react": clients("react") },
    dedupe: ["react", "react-dom"], // theirs would be a second one, of their own tests
  },
  esbuild: { jsx: "automatic" },
  build: { target: "es2022", assetsInlineLimit: 0, modulePreload: { polyfill: false }, reportCompressedSize: true },
});
