import { signal } from "@preact/signals";
import type { Me, Problem } from "../api.gen";
import { boot } from "./boot";

/** An answer of the server that is not a success, or no answer (status 0). */
export class ApiError extends Error {
  override name = "ApiError";
  constructor(
    /** HTTP status, 0 when the server could not be reached. */
    readonly status: number,
    /** Short name of what went wrong. */
    readonly title: string,
    /** Sentence for people. */
    readonly detail: string,
    /** What is wrong, where. */
    readonly problems: Problem[] = [],
    /** For the operator to find it in the log. */
    readonly request = "",
    /** The whole problem document. */
    readonly body: Record<string, unknown> = {},
  ) {
    super(detail || title);
  }

  /** Nothing answered. */
  get offline(): boolean {
    return this.status === 0;
  }

  /** Somebody saved meanwhile: reload and compare. */
  get conflict(): boolean {
    return this.status === 412;
  }
}

/** Who is signed in; null when nobody is. Set from the page, from the socket and by a 401. */
export const me = signal<Me | null>(boot.me ?? null);

/** True once the server has refused a request because nobody is signed in. */
export const signedOut = signal(boot.me === null);

const ranks = ["viewer", "operator", "editor", "admin"];

/** Reports whether the person has at least role. */
export function can(role: "viewer" | "operator" | "editor" | "admin"): boolean {
  return ranks.indexOf(me.value?.role ?? "") >= ranks.indexOf(role);
}

export interface Options {
  signal?: AbortSignal;
  /** Version for If-Match: the write fails with 412 when somebody saved meanwhile. */
  version?: number;
  /** Extra headers. */
  headers?: Record<string, string>;
}

/** Address of an API path: "/systems/x" is "/api/v1/systems/x". */
export function url(path: string): string {
  return `/api/v1${path}`;
}

/** Path segment of an id. */
export function seg(id: string | number): string {
  return encodeURIComponent(String(id));
}

/** Query text of the fields that are set, with its question mark. */
export function query(fields: Record<string, string | number | boolean | undefined | null>): string {
  const q = new URLSearchParams();
  for (const [key, value] of Object.entries(fields)) if (value !== undefined && value !== null && value !== "") q.set(key, String(value));
  const text = q.toString();
  return text ? `?${text}` : "";
}

async function send(method: string, path: string, body: BodyInit | undefined, opts: Options): Promise<Response> {
  const headers = new Headers(opts.headers);
  if (opts.version !== undefined) headers.set("If-Match", `"${opts.version}"`);
  let res: Response;
  try {
    res = await fetch(url(path), { method, body, headers, signal: opts.signal, credentials: "same-origin" });
  } catch (err) {
    if (err instanceof DOMException && err.name === "AbortError") throw err;
    throw new ApiError(0, "Cannot reach the server", "The server does not answer. It may be restarting, or the network is down.");
  }
  if (!res.ok) throw await failure(res);
  return res;
}

/** The error that a response which is not a success stands for. */
export async function failure(res: Response): Promise<ApiError> {
  if (res.status === 401) signedOut.value = true;
  let body: Record<string, unknown> = {};
  try {
    body = (await res.json()) as Record<string, unknown>;
  } catch {
    // A proxy may answer with a page; the status says enough.
  }
  return problem(res.status, body, res.headers.get("X-Request-Id") ?? "");
}

/** The error that a problem document stands for. */
export function problem(status: number, body: Record<string, unknown>, request = ""): ApiError {
  const title = typeof body.title === "string" ? body.title : `The server answered ${status}`;
  const detail = typeof body.detail === "string" ? body.detail : "";
  const errors = Array.isArray(body.errors) ? (body.errors as Record<string, unknown>[]) : [];
  const problems = errors.map((e) => ({
    ...(e as unknown as Problem),
    message: String(e.message ?? ""),
    path: String(e.path ?? e.location ?? "").replace(/^body\.?/, "") || undefined,
    code: String(e.code ?? "invalid"),
  }));
  return new ApiError(status, title, detail, problems, request || String(body.request_id ?? ""), body);
}

async function decode<T>(res: Response): Promise<T> {
  if (res.status === 204 || res.headers.get("Content-Length") === "0") return undefined as T;
  const text = await res.text();
  return (text ? JSON.parse(text) : undefined) as T;
}

const json = { "Content-Type": "application/json" };

/** The HTTP API. Every call rejects with an [ApiError] or an AbortError. */
export const api = {
  /** GET, as JSON. */
  async get<T>(path: string, opts: Options = {}): Promise<T> {
    return decode<T>(await send("GET", path, undefined, opts));
  },
  /** POST of a JSON body, answer as JSON. */
  async post<T = void>(path: string, body?: unknown, opts: Options = {}): Promise<T> {
    const text = body === undefined ? undefined : JSON.stringify(body);
    return decode<T>(await send("POST", path, text, { ...opts, headers: { ...(text ? json : {}), ...opts.headers } }));
  },
  /** PUT of a JSON body, answer as JSON. */
  async put<T = void>(path: string, body: unknown, opts: Options = {}): Promise<T> {
    return decode<T>(await send("PUT", path, JSON.stringify(body), { ...opts, headers: { ...json, ...opts.headers } }));
  },
  /** DELETE. */
  async del(path: string, opts: Options = {}): Promise<void> {
    await send("DELETE", path, undefined, opts);
  },
  /** DELETE that is answered. */
  async remove<T>(path: string, opts: Options = {}): Promise<T> {
    return decode<T>(await send("DELETE", path, undefined, opts));
  },
  /** POST of text or bytes as they are. */
  async raw<T>(path: string, type: string, body: BodyInit, opts: Options = {}): Promise<T> {
    return decode<T>(await send("POST", path, body, { ...opts, headers: { "Content-Type": type, ...opts.headers } }));
  },
  /** POST of a file with progress from 0 to 1. */
  upload<T>(path: string, type: string, body: Blob, progress: (share: number) => void, abort?: AbortSignal): Promise<T> {
    return new Promise((resolve, reject) => {
      const xhr = new XMLHttpRequest();
      xhr.open("POST", url(path));
      xhr.setRequestHeader("Content-Type", type);
      xhr.upload.onprogress = (e) => e.lengthComputable && progress(e.loaded / e.total);
      xhr.onerror = () => reject(new ApiError(0, "Cannot reach the server", "The upload broke off. Try again."));
      xhr.onabort = () => reject(new DOMException("aborted", "AbortError"));
      xhr.onload = () => {
        let doc: unknown = {};
        try {
          doc = JSON.parse(xhr.responseText || "{}");
        } catch {
          // Judged by its status.
        }
        if (xhr.status === 401) signedOut.value = true;
        if (xhr.status >= 200 && xhr.status < 300) resolve(doc as T);
        else reject(problem(xhr.status, doc as Record<string, unknown>, xhr.getResponseHeader("X-Request-Id") ?? ""));
      };
      abort?.addEventListener("abort", () => xhr.abort());
      xhr.send(body);
    });
  },
};

/** Reports whether err only says that the caller gave up waiting. */
export function aborted(err: unknown): boolean {
  return err instanceof DOMException && err.name === "AbortError";
}
