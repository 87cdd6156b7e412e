import { useState } from "preact/hooks";
import type { Problem } from "../../api.gen";
import { ApiError } from "../../lib/api";
import { navigate, to } from "../../lib/router";
import { fleet, offlineReason } from "../../live";
import { Button, Dialog, ErrorBox, Seg, TextField, toast } from "../../ui";
import { create, type Draft, fieldOf, nameOf, objects, slug } from "./create";

export const intervals = [
  ["10s", "10 s"],
  ["30s", "30 s"],
  ["1m", "1 min"],
  ["5m", "5 min"],
] as const;

/** The form for a new System that answers over HTTP. */
export function AddSystem({ onClose }: { onClose: () => void }) {
  const [draft, setDraft] = useState<Draft>({ url: "", name: "", every: "30s", tags: "", groups: "" });
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  const set = (part: Partial<Draft>) => setDraft({ ...draft, ...part });
  const guess = draft.url ? nameOf(draft.url) : "";
  const problems: Problem[] = error instanceof ApiError ? error.problems : [];
  const at = (field: keyof Draft) => problems.filter((p) => fieldOf(p) === field);
  const elsewhere = problems.filter((p) => !fieldOf(p));
  const submit = async (e: Event) => {
    e.preventDefault();
    setBusy(true);
    setError(undefined);
    try {
      const made = objects(draft, (id) => !!fleet.find(id));
      await create(made, false);
      toast(`${made.system.name ?? made.system.id} is watched every ${draft.every}`);
      navigate(to.system(made.system.id));
    } catch (err) {
      setError(err);
      setBusy(false);
    }
  };
  return (
    <Dialog title="Add a system" onClose={onClose}>
      <form onSubmit={submit} noValidate>
        <TextField
          label="Address"
          hint="Its check asks this address and expects a 2xx or 3xx answer. More checks can be added later."
          placeholder="https://shop.example.com/healthz"
          inputMode="url"
          autofocus
          required
          value={draft.url}
          error={at("url")}
          onInput={(url) => set({ url })}
        />
        <TextField
          label="Name"
          placeholder={guess || "Shop front"}
          hint={draft.name.trim() || guess ? `Its id will be ${slug(draft.name.trim() || guess)}.` : "Taken from the address when empty."}
          value={draft.name}
          error={at("name")}
          onInput={(name) => set({ name })}
        />
        <div class="pair">
          <TextField
            label="Groups"
            placeholder="shop, eu"
            value={draft.groups}
            error={at("groups")}
            onInput={(groups) => set({ groups })}
          />
          <TextField
            label="Tags"
            placeholder="team=payments, tier=1"
            value={draft.tags}
            error={at("tags")}
            onInput={(tags) => set({ tags })}
          />
        </div>
        <div class="fld">
          <span class="lb">Run the check every</span>
          <div>
            <Seg
              label="Run the check every"
              value={draft.every}
              options={intervals.map(([id, text]) => [id as string, text] as const)}
              onChange={(every) => set({ every })}
            />
          </div>
          {at("every").map((p) => (
            <div class="err" key={p.message}>
              {p.message}
            </div>
          ))}
        </div>
        {error !== undefined && (problems.length === 0 || elsewhere.length > 0) && <ErrorBox error={error} doing="Add the system" />}
        <div class="actions">
          <Button onClick={onClose}>Cancel</Button>
          <Button kind="primary" type="submit" busy={busy} disabled={!draft.url.trim() || !!offlineReason()} title={offlineReason()}>
            Add system
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
