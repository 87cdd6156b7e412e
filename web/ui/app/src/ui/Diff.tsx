import { type DiffLine, folded } from "../lib/diff";

/** What differs between their text and mine; equal lines far from a difference are counted. */
export function Diff({ lines }: { lines: DiffLine[] }) {
  return (
    <pre class="df" role="region" aria-label="Difference" tabIndex={0}>
      {folded(lines).map((l, i) => (
        <div key={i} class={l.kind}>
          <span aria-hidden="true">{l.kind === "mine" ? "+" : l.kind === "theirs" ? "−" : l.kind === "gap" ? "⋯" : " "}</span>
          <span class="sr">{l.kind === "mine" ? "yours: " : l.kind === "theirs" ? "theirs: " : ""}</span>
          {l.text}
        </div>
      ))}
    </pre>
  );
}
