// Asking the server what it thinks of an expression, while it is being typed.

import type { ExprCheck, ExprReport, Problem } from "../api.gen";
import { byteToUtf16 } from "./offsets";

/** How an expression is judged: the server's report, or why there is none. */
export type Judgement = { report: ExprReport } | { failed: unknown } | { pending: true } | { empty: true };

/** Asks for one report. */
export type Ask = (body: ExprCheck, signal: AbortSignal) => Promise<ExprReport>;

/**
 * Checks what is typed once it has rested for `delay` ms. Only the answer to
 * the newest text is told: older requests are given up.
 */
export class Checker {
  private timer: ReturnType<typeof setTimeout> | undefined;
  private abort: AbortController | undefined;

  constructor(
    private readonly ask: Ask,
    private readonly tell: (about: Judgement, expr: string) => void,
    private readonly delay = 150,
  ) {}

  /** Look at a text. An empty one is not asked about: it stands for the default. */
  look(body: ExprCheck): void {
    this.stop();
    if (body.expr.trim() === "") {
      this.tell({ empty: true }, body.expr);
      return;
    }
    this.tell({ pending: true }, body.expr);
    this.timer = setTimeout(() => void this.send(body), this.delay);
  }

  /** Give up what is under way. */
  stop(): void {
    clearTimeout(this.timer);
    this.abort?.abort();
    this.abort = undefined;
  }

  private async send(body: ExprCheck): Promise<void> {
    const abort = new AbortController();
    this.abort = abort;
    let about: Judgement;
    try {
      about = { report: await this.ask(body, abort.signal) };
    } catch (failed) {
      about = { failed };
    }
    if (!abort.signal.aborted) this.tell(about, body.expr);
  }
}

/** A problem with its place in the editor's units. */
export interface Mark {
  from: number;
  to: number;
  problem: Problem;
  /** What a fix puts in place of the range, when the problem names it. */
  fix: { from: number; to: number; insert: string } | null;
}

const MEANT = /did you mean\s+["'`“‘]?([^"'`”’?\s]+)["'`”’]?/i;

/** The word that a problem suggests, or null. */
export function suggestion(problem: Problem): string | null {
  const found = MEANT.exec(problem.message) ?? MEANT.exec(problem.fix ?? "");
  return found?.[1]?.replace(/[.,;]+$/, "") ?? null;
}

/** Where a problem is in the source, in UTF-16 units; without a place it is the whole of it. */
export function locate(problem: Problem, source: string): Mark {
  const known = (problem.to ?? 0) > 0;
  const from = known ? byteToUtf16(source, problem.from ?? 0) : 0;
  const to = known ? Math.max(from, byteToUtf16(source, problem.to ?? 0)) : source.length;
  const word = suggestion(problem);
  return { from, to, problem, fix: word && known ? replacement(word, source, from, to) : null };
}

/** Keeps the quotes of a string and the object of a member. */
function replacement(word: string, source: string, from: number, to: number): Mark["fix"] {
  const wrong = source.slice(from, to);
  const quote = /^["'`]/.exec(wrong)?.[0];
  if (quote && wrong.endsWith(quote)) return { from: from + 1, to: to - 1, insert: word };
  const names = [...wrong.matchAll(/[\w$]+/g)];
  const last = names.at(-1);
  if (!last || word.includes(".") || /[^\w$.?]/.test(wrong)) return { from, to, insert: word };
  return { from: from + last.index, to: from + last.index + last[0].length, insert: word };
}
