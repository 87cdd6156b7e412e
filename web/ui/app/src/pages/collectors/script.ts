// Scripts as text: where they are edited, what a new one begins with, and
// drafts that survive a closed tab.

import type { Grant, Manifest } from "../../api.gen";

/** Where a script is edited; without a name a new one. */
export function scriptPath(name?: string, version?: string): string {
  if (!name) return "/collectors/new-script";
  return `/collectors/${encodeURIComponent(name)}/edit${version ? `?v=${encodeURIComponent(version)}` : ""}`;
}

/** The file of a script, taken apart: its first line can hold what the form says. */
export function splitFile(file: string): { source: string; manifest?: Manifest } {
  const end = file.indexOf("\n");
  const first = file.slice(0, end);
  if (end < 0 || !first.startsWith("// tocsin/1 {")) return { source: file };
  try {
    return { source: file.slice(end + 1), manifest: JSON.parse(first.slice("// tocsin/1 ".length)) as Manifest };
  } catch {
    return { source: file };
  }
}

/** What is typed, and the version that it was typed over. */
export interface ScriptDraft {
  name: string;
  version: string;
  source: string;
  doc: string;
  /** JSON schema of its configuration, as text. */
  schema: string;
  /** Its samples, one a line. */
  samples: string;
  wants: Grant;
  /** Version whose source it began with; empty for a new script. */
  base: string;
  at: number;
}

/** Where drafts are kept; localStorage can be switched off. */
export interface Shelf {
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
  removeItem(key: string): void;
}

const draftKey = (name: string) => `tocsin.draft.script.${name || "*new"}`;

/** The draft of a script, or null. One that cannot be read is forgotten. */
export function loadDraft(shelf: Shelf, name: string): ScriptDraft | null {
  try {
    const draft = JSON.parse(shelf.getItem(draftKey(name)) ?? "null") as ScriptDraft | null;
    return draft && typeof draft.source === "string" && typeof draft.base === "string" ? draft : null;
  } catch {
    return null;
  }
}

/** Keeps a draft. A full or forbidden storage loses only the draft. */
export function keepDraft(shelf: Shelf, name: string, draft: ScriptDraft): void {
  try {
    shelf.setItem(draftKey(name), JSON.stringify(draft));
  } catch {
    // Typing goes on without a copy.
  }
}

export function dropDraft(shelf: Shelf, name: string): void {
  try {
    shelf.removeItem(draftKey(name));
  } catch {
    // There was none.
  }
}

/** The version after one: "1.4.2" is followed by "1.4.3", "1" by "2"; others get ".1". */
export function nextVersion(version: string): string {
  const found = /^(.*?)(\d+)$/.exec(version);
  return found ? `${found[1]}${Number(found[2]) + 1}` : `${version || "1.0"}.${version ? 1 : 0}`;
}
