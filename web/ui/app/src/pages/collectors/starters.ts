// What a first module can be written in.

export interface Starter {
  lang: string;
  title: string;
  text: string;
  /** What to run in a shell; a script is written here instead. */
  command?: string;
}

export const starters: readonly Starter[] = [
  { lang: "script", title: "Script", text: "JavaScript or TypeScript, written and tested in this browser. Nothing to install." },
  {
    lang: "go",
    title: "Go",
    text: "The SDK is a package of this project; builds with the usual go command.",
    command: "tocsin module init --lang go my-collector",
  },
  {
    lang: "rust",
    title: "Rust",
    text: "Small and quick; needs the target wasm32-wasip1.",
    command: "tocsin module init --lang rust my-collector",
  },
  {
    lang: "assemblyscript",
    title: "AssemblyScript",
    text: "Looks like TypeScript and compiles to a few kilobytes; needs Node.",
    command: "tocsin module init --lang assemblyscript my-collector",
  },
  {
    lang: "c",
    title: "C",
    text: "One header, no runtime; needs clang, lld and wasi-libc.",
    command: "tocsin module init --lang c my-collector",
  },
];
