import type { Rule, Stored } from "../../api.gen";
import { Button, Dialog, Diff, Time } from "../../ui";
import { diff } from "./model";

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
  const who = theirs.by || "Somebody";
  return (
    <Dialog title={`${who} saved version ${theirs.version} meanwhile`} wide onClose={onClose}>
      <div class="b">
        <p class="dim2">
          Saved <Time at={theirs.updated} />. Lines with + are yours, lines with − are in version {theirs.version} only.
        </p>
        <Diff lines={diff(theirs.object, mine)} />
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
