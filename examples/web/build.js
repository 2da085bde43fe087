// Puts the page into dist/, with the React part bundled for browsers.
import { build } from "esbuild";
import { copyFile, mkdir } from "node:fs/promises";

await mkdir("dist", { recursive: true });
await build({
  entryPoints: ["src/plain.js", "src/react.jsx"],
  outdir: "dist",
  bundle: true,
  format: "esm",
  jsx: "automatic",
  minify: true,
  define: { "process.env.NODE_ENV": '"production"' },
});
await Promise.all(
  ["index.html", "style.css"].map((name) => copyFile(`src/${name}`, `dist/${name}`)),
);
