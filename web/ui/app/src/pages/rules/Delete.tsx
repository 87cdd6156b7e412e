import { useState } from "preact/hooks";
import type { Rule } from "../../api.gen";
import { api, seg } from "../../lib/api";
import { plural } from "../../lib/format";
import { Confirm, ErrorBox, toast } from "../../ui";

/** Asks, naming the rule and what goes with it, and deletes it. */
export function DeleteRule({
  rule,
  version,
  open,
  onClose,
  onGone,
}: {
  rule: Rule;
  version: number;
  open: number;
  onClose: () => void;
  onGone: () => void;
}) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  const name = rule.name || rule.id;
  const remove = async () => {
    setBusy(true);
    try {
      await api.del(`/rules/${seg(rule.id)}`, { version });
      toast(`Rule ${name} is deleted`);
      onGone();
    } catch (err) {
      setError(err);
      setBusy(false);
    }
  };
  return (
    <Confirm title={`Delete ${name}?`} confirm={`Delete ${name}`} busy={busy} onConfirm={remove} onClose={onClose}>
      <p>It stops deciding at once. Its trace stays readable until it expires.</p>
      {open > 0 && (
        <p class="t-degraded">
          {plural(open, "episode")} of it {open === 1 ? "is" : "are"} open: what it sends on recovery will not be sent.
        </p>
      )}
      <ErrorBox error={error} doing="Deleting" />
    </Confirm>
  );
}
