import type { Rule, Stored } from "../../api.gen";
import { Button, Dialog, Time } from "../../ui";
import { diff, folded } from "./model";

/** Somebody saved meanwhile: shows what differs and lets the person choose. */
export function Conflict({
  mine,
  theirs,
  busy,
  onMine,
  onTheirs,
  onClose,
}: {
  mine: Rule;
  theirs: Stored<Rule>;
  busy: boolean;
  onMine: () => void;
  onTheirs: () => void;
  onClose: () => void;
}) {
  const lines = folded(diff(theirs.object, mine));
  const who = theirs.by || "Somebody";
  return (
    <Dialog title={`${who} saved version ${theirs.version} meanwhile`} wide onClose={onClose}>
      <div class="b">
        <p class="dim2">
          Saved <Time at={theirs.updated} />. Lines with + are yours, lines with − are in version {theirs.version} only.
        </p>
        <pre class="df" role="region" aria-label="Difference">
          {lines.map((l, i) => (
            <div key={i} class={l.kind}>
              <span aria-hidden="true">{l.kind === "mine" ? "+" : l.kind === "theirs" ? "−" : l.kind === "gap" ? "⋯" : " "}</span>
              <span class="sr">{l.kind === "mine" ? "yours: " : l.kind === "theirs" ? "theirs: " : ""}</span>
              {l.text}
            </div>
          ))}
        </pre>
        <div class="actions">
          <Button onClick={onTheirs}>Take version {theirs.version}, discard mine</Button>
          <Button onClick={onClose}>Go on editing</Button>
          <Button kind="primary" busy={busy} onClick={onMine}>
            Save mine over it
          </Button>
        </div>
      </div>
    </Dialog>
  );
}
