import { defineConfig } from "vite";

// The page itself is a Go template (web/ui), so the entry is the script. Names
// are stable: the server busts caches with a versioned prefix, and stable names
// keep the history of the committed build small.
const page = /\/src\/pages\/([a-z]+)\/index\.tsx$/;

export default defineConfig({
  base: "./",
  publicDir: "public",
  build: {
    outDir: "../dist",
    emptyOutDir: true,
    target: "es2022",
    sourcemap: false,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 1000,
    rolldownOptions: {
      input: { app: "src/main.tsx" },
      output: {
        entryFileNames: "[name].js",
        chunkFileNames: (chunk) => {
          const at = page.exec(chunk.facadeModuleId ?? "");
          return at ? `page-${at[1]}.js` : "[name].js";
        },
        assetFileNames: (asset) => {
          const at = asset.originalFileNames.map((name) => /pages\/([a-z]+)\//.exec(name)).find(Boolean);
          const name = asset.names[0] ?? "";
          return at && name.endsWith(".css") ? `page-${at[1]}.css` : "[name][extname]";
        },
        codeSplitting: {
          groups: [
            {
              name: "editor",
              test: /node_modules\/(@codemirror\/(?!lang-)[^/]*|@lezer\/(?!javascript)[^/]*|style-mod|w3c-keyname|crelt|@marijn)\/|\/src\/expr\//,
              priority: 30,
            },
            { name: "script", test: /node_modules\/(@lezer\/javascript|@codemirror\/lang-javascript)\/|\/src\/script\//, priority: 20 },
            { name: "chart", test: /node_modules\/uplot\/|\/src\/pages\/system\/chart\.ts/, priority: 30 },
            {
              name: "base",
              test: /node_modules\/(preact|@preact)\/|preload-helper|\/src\/(ui|live)\/|\/src\/lib\/(?!wasm)|\/src\/shell\/(Page|title|useFleet|Palette|fuzzy)\./,
              priority: 40,
            },
          ],
        },
      },
    },
  },
  server: {
    proxy: {
      "/api": { target: process.env.TOCSIN ?? "http://127.0.0.1:8420", ws: true },
      "/login": process.env.TOCSIN ?? "http://127.0.0.1:8420",
    },
  },
  test: { include: ["test/**/*.test.ts", "src/**/*.test.ts"], environment: "node" },
} as import("vite").UserConfig);
