import type { Me } from "../api.gen";

/** What the server wrote into the page, see web/ui. */
export interface Boot {
  /** Short hash of the interface's build. */
  build: string;
  /** Who is signed in; absent when nobody is. */
  me?: Me | null;
  /** Version of the binary. */
  version?: string;
  /** The demo shop runs beside the server. */
  demo?: boolean;
}

function read(): Boot {
  const text = typeof document === "undefined" ? "" : (document.getElementById("boot")?.textContent ?? "");
  try {
    return { build: "dev", ...(JSON.parse(text) as Partial<Boot>) };
  } catch {
    return { build: "dev" };
  }
}

/** The boot facts of this page. */
export const boot: Boot = read();

/** The CSP nonce of this page, for editors that add style elements. */
export function cspNonce(): string {
  return document.querySelector<HTMLScriptElement>("script[nonce]")?.nonce ?? "";
}
