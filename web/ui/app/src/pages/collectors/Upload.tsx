// Getting a module to the server: drop, choose or paste files; each is looked
// at here first, and then one after another sent.

import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type { ModuleReview } from "../../api.gen";
import { aborted, api, can } from "../../lib/api";
import { bytes, plural, visible } from "../../lib/format";
import { navigate } from "../../lib/router";
import { type Inspection, inspect, WasmError } from "../../lib/wasm-inspect";
import { offlineReason } from "../../live";
import { Button, Card, ErrorBox, Icon, Pill } from "../../ui";
import { sampleLine } from "./samples";
import { keepDraft, scriptPath, splitFile } from "./script";

/** A file on its way. */
interface Item {
  key: number;
  name: string;
  size: number;
  file: File;
  seen?: Inspection;
  /** Why it is not sent. */
  refused?: string;
  share: number;
  state: "waiting" | "sending" | "inspecting" | "done" | "failed" | "refused";
  error?: unknown;
  review?: ModuleReview;
}

let keys = 0;

async function look(file: File): Promise<Item> {
  const item: Item = { key: ++keys, name: file.name || "pasted file", size: file.size, file, share: 0, state: "waiting" };
  try {
    // The rest of a huge file is not read: its size alone refuses it.
    const seen = inspect(new Uint8Array(await file.slice(0, 21 * 1024 * 1024).arrayBuffer()));
    return { ...item, seen, ...(seen.problems.length > 0 ? { state: "refused" as const, refused: seen.problems.join(" ") } : {}) };
  } catch (err) {
    return {
      ...item,
      state: "refused",
      refused: err instanceof WasmError ? err.message : `The file cannot be read: ${err instanceof Error ? err.message : String(err)}`,
    };
  }
}

export interface Upload {
  items: Item[];
  add: (files: Iterable<File>) => void;
  drop: (key: number) => void;
  over: boolean;
}

/**
 * The queue of uploads of a page. While it is in use the whole page takes
 * dropped and pasted files. stored is called after each that has arrived.
 */
export function useUpload(stored: (review: ModuleReview, alone: boolean) => void): Upload {
  const [items, setItems] = useState<Item[]>([]);
  const [over, setOver] = useState(false);
  const latest = useRef(stored);
  latest.current = stored;
  const patch = (key: number, fields: Partial<Item>) => setItems((was) => was.map((i) => (i.key === key ? { ...i, ...fields } : i)));
  const add = async (dropped: Iterable<File>) => {
    const files = [...dropped];
    const script = files.find((f) => /\.[cm]?[jt]s$/.test(f.name) && f.size < 256 * 1024);
    if (script) {
      // Source is not uploaded but edited: it is tested before it is saved.
      const { source, manifest: m } = splitFile(await script.text());
      const name = script.name.replace(/\.[^.]*$/, "").replace(/[^A-Za-z0-9._-]+/g, "-");
      keepDraft(localStorage, "", {
        name: m?.name ?? name,
        version: m?.version ?? "1.0.0",
        source,
        doc: m?.doc ?? "",
        schema: m?.config_schema ? JSON.stringify(m.config_schema, null, 2) : "",
        samples: (m?.samples ?? []).map(sampleLine).join("\n"),
        wants: m?.wants ?? {},
        base: "",
        at: Date.now(),
      });
      navigate(scriptPath());
      return;
    }
    const looked = await Promise.all(files.slice(0, 20).map(look));
    setItems((was) => [...was.filter((i) => i.state !== "done"), ...looked]);
  };

  // One at a time: the next begins when none is under way.
  const next = items.some((i) => i.state === "sending" || i.state === "inspecting") ? undefined : items.find((i) => i.state === "waiting");
  const alone = items.length === 1;
  // biome-ignore lint/correctness/useExhaustiveDependencies: begins with each new item
  useEffect(() => {
    if (!next) return;
    const { key, file } = next;
    patch(key, { state: "sending" });
    api
      .upload<ModuleReview>("/modules", "application/wasm", file, (share) =>
        patch(key, share < 1 ? { share } : { share, state: "inspecting" }),
      )
      .then((review) => {
        patch(key, { state: "done", review });
        latest.current(review, alone);
      })
      .catch((error) => patch(key, { state: "failed", error: aborted(error) ? undefined : error }));
  }, [next?.key]);

  const adding = useRef(add);
  adding.current = add;
  useEffect(() => {
    const files = (e: DragEvent) => e.dataTransfer?.types.includes("Files");
    const onOver = (e: DragEvent) => {
      if (!files(e)) return;
      e.preventDefault();
      setOver(true);
    };
    const onLeave = (e: DragEvent) => e.relatedTarget === null && setOver(false);
    const onDrop = (e: DragEvent) => {
      setOver(false);
      if (!e.dataTransfer?.files.length) return;
      e.preventDefault();
      if (!barred()) void adding.current(e.dataTransfer.files);
    };
    const onPaste = (e: ClipboardEvent) => {
      if (!e.clipboardData?.files.length) return;
      e.preventDefault();
      if (!barred()) void adding.current(e.clipboardData.files);
    };
    document.addEventListener("dragover", onOver);
    document.addEventListener("dragleave", onLeave);
    document.addEventListener("drop", onDrop);
    document.addEventListener("paste", onPaste);
    return () => {
      document.removeEventListener("dragover", onOver);
      document.removeEventListener("dragleave", onLeave);
      document.removeEventListener("drop", onDrop);
      document.removeEventListener("paste", onPaste);
    };
  }, []);
  return { items, add, over, drop: (key) => setItems((was) => was.filter((i) => i.key !== key)) };
}

/** Why nothing can be uploaded now. */
export function barred(): string | undefined {
  return can("editor") ? offlineReason() : "Uploading needs the role editor";
}

/** The place to drop files on; the whole page takes them. */
export function DropZone({ upload, title, children }: { upload: Upload; title: string; children?: ComponentChildren }) {
  const input = useRef<HTMLInputElement>(null);
  const no = barred();
  return (
    <div class={`co-drop${upload.over ? " over" : ""}`}>
      <Icon name="upload" size={22} />
      <div class="co-drop-text">
        <b>{upload.over ? "Let go to upload" : title}</b>
        <p class="dim2">{children ?? "Inspected in your browser first. Nothing runs until you approve its permissions."}</p>
      </div>
      <input
        ref={input}
        type="file"
        accept=".wasm,application/wasm"
        multiple
        class="sr"
        tabIndex={-1}
        aria-label="Choose a .wasm file"
        onChange={(e) => {
          if (e.currentTarget.files) upload.add(e.currentTarget.files);
          e.currentTarget.value = "";
        }}
      />
      <Button disabled={!!no} title={no} onClick={() => input.current?.click()}>
        Choose file
      </Button>
    </div>
  );
}

/** The files on their way and what became of them. */
export function UploadList({ upload }: { upload: Upload }) {
  if (upload.items.length === 0) return null;
  return (
    <ul class="co-uploads" aria-live="polite">
      {upload.items.map((item) => (
        <li key={item.key} class={`co-upload ${item.state}`}>
          <Card bare>
            <div class="co-upload-head">
              <Icon name="file" size={16} />
              <b class="truncate">{visible(item.name)}</b>
              <span class="dim num">{bytes(item.size)}</span>
              <span class="sp" />
              <State item={item} />
              {item.state !== "sending" && item.state !== "inspecting" && (
                <Button small kind="ghost" icon="x" label={`Forget ${item.name}`} onClick={() => upload.drop(item.key)} />
              )}
            </div>
            {item.state === "sending" && (
              <div
                class="meter"
                role="progressbar"
                aria-label={`Uploading ${item.name}`}
                aria-valuenow={Math.round(item.share * 100)}
                aria-valuemin={0}
                aria-valuemax={100}
              >
                <i style={{ width: `${item.share * 100}%` }} />
              </div>
            )}
            {item.refused && (
              <p class="co-refused">
                <Icon name="alert" size={15} />
                <span>{visible(item.refused)}</span>
              </p>
            )}
            {item.error !== undefined && <ErrorBox error={item.error} doing={`Uploading ${item.name}`} />}
            {item.seen && (item.state === "refused" || item.state === "failed") && <Preflight seen={item.seen} />}
          </Card>
        </li>
      ))}
    </ul>
  );
}

function State({ item }: { item: Item }) {
  switch (item.state) {
    case "refused":
      return <Pill kind="unhealthy">Not sent</Pill>;
    case "failed":
      return <Pill kind="unhealthy">Refused</Pill>;
    case "done":
      return (
        <Button small onClick={() => item.review && navigate(reviewPath(item.review))}>
          Review {item.review?.manifest.name} {item.review?.manifest.version}
        </Button>
      );
    case "waiting":
      return <Pill>Waiting</Pill>;
    case "sending":
      return <Pill kind="accent">{Math.round(item.share * 100)} %</Pill>;
    default:
      return <Pill kind="accent">The server inspects it</Pill>;
  }
}

/** Where a stored module is reviewed. */
export function reviewPath(review: ModuleReview): string {
  return `/collectors/${encodeURIComponent(review.manifest.name)}?v=${encodeURIComponent(review.manifest.version)}`;
}

/** What the browser saw, for those who want to know what is wrong. */
function Preflight({ seen }: { seen: Inspection }) {
  const some = (all: string[]) => `${all.slice(0, 12).map(visible).join(", ")}${all.length > 12 ? ` and ${all.length - 12} more` : ""}`;
  return (
    <dl class="co-facts">
      <dt>Sections</dt>
      <dd>{some(seen.sections.map((s) => s.name))}</dd>
      <dt>Imports</dt>
      <dd class="mono">{seen.imports.length > 0 ? some(seen.imports.map((i) => `${i.module}.${i.name}`)) : "none"}</dd>
      <dt>Exports</dt>
      <dd class="mono">{seen.exports.length > 0 ? some(seen.exports.map((e) => e.name)) : "none"}</dd>
      <dt>Code</dt>
      <dd>
        {plural(seen.functions, "function")}
        {seen.producers.length > 0 ? `, ${some(seen.producers)}` : ""}
      </dd>
    </dl>
  );
}
