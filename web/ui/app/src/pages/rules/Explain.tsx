// What an expression made of its facts: the value of every part of it.

import { useState } from "preact/hooks";
import type { ExplainNode } from "../../api.gen";
import { visible } from "../../lib/format";

interface Branch {
  node: ExplainNode;
  children: Branch[];
}

/** The nodes as a tree; they come in source order with their depth. */
export function branches(nodes: ExplainNode[]): Branch[] {
  const roots: Branch[] = [];
  const path: Branch[] = [];
  for (const node of nodes) {
    const branch: Branch = { node, children: [] };
    while (path.length > 0 && (path.at(-1)?.node.depth ?? 0) >= node.depth) path.pop();
    (path.at(-1)?.children ?? roots).push(branch);
    path.push(branch);
  }
  return roots;
}

/** False and failed branches first: they are why. What was not evaluated comes last. */
export function order(all: Branch[]): Branch[] {
  const rank = (b: Branch) => (b.node.error ? 0 : b.node.value === "false" ? 1 : b.node.skipped ? 3 : 2);
  return [...all].sort((a, b) => rank(a) - rank(b));
}

const verdicts = new Set(["true", "false"]);

/** A branch that only repeats a constant says nothing. */
function telling(b: Branch): boolean {
  return b.node.skipped || !!b.node.error || visible(b.node.expr).trim() !== (b.node.value ?? "").trim();
}

/** The tree of an explanation. */
export function Explain({ nodes }: { nodes: ExplainNode[] }) {
  return <Level all={order(branches(nodes))} top />;
}

function Level({ all, top }: { all: Branch[]; top?: boolean }) {
  return (
    <ul class={top ? "xp" : undefined}>
      {all
        .filter((b) => top || telling(b))
        .map((b) => (
          <Row key={`${b.node.from}-${b.node.to}-${b.node.depth}`} branch={b} />
        ))}
    </ul>
  );
}

function Row({ branch }: { branch: Branch }) {
  const { node, children } = branch;
  const told = order(children).filter(telling);
  const nested = told.length > 0 && !node.skipped;
  const [open, setOpen] = useState(true);
  const bool = verdicts.has(node.value ?? "");
  return (
    <li class={node.skipped ? "skipped" : undefined}>
      <div class="xp-row">
        {nested ? (
          <button type="button" class="xp-fold" aria-expanded={open} aria-label={`Parts of ${node.expr}`} onClick={() => setOpen(!open)}>
            {open ? "▾" : "▸"}
          </button>
        ) : (
          <span class="xp-fold" />
        )}
        <span class={`xp-value ${node.error ? "t-unhealthy" : bool ? (node.value === "true" ? "t-healthy" : "t-unhealthy") : "dim2"}`}>
          {node.error ? "error" : node.skipped ? "–" : bool ? node.value : ""}
        </span>
        <span class="xp-expr">
          {visible(node.expr)}
          {!bool && !node.error && !node.skipped && node.value !== undefined && <span class="xp-is"> is {visible(node.value)}</span>}
        </span>
      </div>
      {node.error && <p class="xp-note t-unhealthy">{node.error}</p>}
      {node.skipped && <p class="xp-note">not evaluated: its left side decided</p>}
      {nested && open && <Level all={told} />}
    </li>
  );
}
