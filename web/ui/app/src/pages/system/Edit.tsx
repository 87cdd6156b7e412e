import { useState } from "preact/hooks";
import type { Check, Page as PageOf, Stored, System } from "../../api.gen";
import { ApiError, api, seg } from "../../lib/api";
import { useResource } from "../../lib/resource";
import { navigate } from "../../lib/router";
import { fleet, offlineReason } from "../../live";
import { Button, Confirm, Dialog, ErrorBox, problemsAt, TextArea, TextField, toast } from "../../ui";
import { parseTags } from "../fleet/create";
import { withoutSystem } from "./without";

/** Edits a System. Somebody else's save in between is told, never overwritten unasked. */
export function EditSystem({
  system,
  version,
  onClose,
  onSaved,
}: {
  system: System;
  version: number;
  onClose: () => void;
  onSaved: () => void;
}) {
  const [name, setName] = useState(system.name ?? "");
  const [tags, setTags] = useState(
    Object.entries(system.tags ?? {})
      .map(([k, v]) => `${k}=${v}`)
      .join(", "),
  );
  const [groups, setGroups] = useState((system.groups ?? []).join(", "));
  const [deps, setDeps] = useState((system.depends_on ?? []).join(", "));
  const [quorum, setQuorum] = useState(system.rollup?.quorum ? String(system.rollup.quorum) : "");
  const [note, setNote] = useState(system.note ?? "");
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<ApiError>();
  const list = (text: string) => text.split(/[,\s]+/).filter(Boolean);
  const save = async (e: Event | undefined, overwrite = false) => {
    e?.preventDefault();
    setBusy(true);
    setError(undefined);
    const next: System = {
      id: system.id,
      name: name.trim() || undefined,
      tags: parseTags(tags),
      groups: list(groups),
      depends_on: list(deps),
      note: note.trim() || undefined,
    };
    if (Number(quorum) > 0) next.rollup = { quorum: Number(quorum) };
    try {
      await api.put(`/systems/${seg(system.id)}`, next, overwrite ? {} : { version });
      toast("Saved");
      onSaved();
      onClose();
    } catch (err) {
      setError(err instanceof ApiError ? err : new ApiError(0, String(err), ""));
      setBusy(false);
    }
  };
  const ps = error?.problems;
  const shown = ["name", "tags", "groups", "depends_on", "rollup", "note"].flatMap((path) => problemsAt(ps, path));
  const unknown = list(deps).filter((id) => fleet.loaded && !fleet.find(id));
  return (
    <Dialog title={`Edit ${system.id}`} onClose={onClose}>
      <form onSubmit={save} noValidate>
        <TextField label="Name" placeholder={system.id} value={name} onInput={setName} error={problemsAt(ps, "name")} autofocus />
        <TextField
          label="Tags"
          placeholder="team=payments, tier=1"
          value={tags}
          onInput={setTags}
          error={problemsAt(ps, "tags")}
          hint="Facts to select, filter and route by."
        />
        <TextField
          label="Groups"
          placeholder="shop, eu"
          value={groups}
          onInput={setGroups}
          error={problemsAt(ps, "groups")}
          hint="Its health is part of theirs."
        />
        <TextField
          label="Depends on"
          placeholder="ids of systems"
          value={deps}
          onInput={setDeps}
          error={problemsAt(ps, "depends_on")}
          hint={
            unknown.length > 0 ? (
              <span class="t-degraded">Not a system yet: {unknown.join(", ")}</span>
            ) : (
              "Systems it cannot do without. When one of them is unhealthy, that is told as the cause."
            )
          }
        />
        <TextField
          label="Unhealthy when this many checks are"
          type="number"
          min={0}
          value={quorum}
          onInput={setQuorum}
          placeholder="any one"
          error={problemsAt(ps, "rollup")}
        />
        <TextArea label="Note" rows={3} value={note} onInput={setNote} error={problemsAt(ps, "note")} />
        {error?.conflict ? (
          <ErrorBox
            error={new ApiError(412, "Somebody saved it meanwhile", "Close this to see their version, or overwrite it with yours.")}
          />
        ) : (
          error && shown.length < Math.max(1, error.problems.length) && <ErrorBox error={error} doing="Save" />
        )}
        <div class="actions">
          <Button onClick={onClose}>Cancel</Button>
          {error?.conflict && (
            <Button kind="danger" busy={busy} onClick={() => void save(undefined, true)}>
              Overwrite theirs
            </Button>
          )}
          <Button kind="primary" type="submit" busy={busy} disabled={!!offlineReason()} title={offlineReason()}>
            Save
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

/** Deletes a System, after saying what goes with it. */
export function DeleteSystem({ system, onClose }: { system: System; onClose: () => void }) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  const checks = useResource<PageOf<Stored<Check>>>("checks", (signal) => api.get("/checks", { signal }));
  const listed = (checks.data?.items ?? [])
    .map((c) => ({ stored: c, becomes: withoutSystem(c.object, system.id) }))
    .filter((c) => c.becomes !== "keep");
  const gone = listed.filter((c) => c.becomes === "delete").map((c) => c.stored.object.name || c.stored.object.id);
  const edited = listed.filter((c) => c.becomes !== "delete").map((c) => c.stored.object.name || c.stored.object.id);
  const name = system.name || system.id;
  const remove = async () => {
    setBusy(true);
    setError(undefined);
    try {
      for (const { stored, becomes } of listed) {
        if (becomes === "delete") await api.del(`/checks/${seg(stored.object.id)}`);
        else await api.put(`/checks/${seg(stored.object.id)}`, becomes, { version: stored.version });
      }
      await api.del(`/systems/${seg(system.id)}`);
      toast(`${name} is deleted`);
      navigate("/", { force: true });
    } catch (err) {
      setError(err);
      setBusy(false);
      checks.reload();
    }
  };
  return (
    <Confirm
      title={`Delete ${name}?`}
      confirm={`Delete ${name}`}
      busy={busy || (checks.loading && !checks.data)}
      onClose={onClose}
      onConfirm={remove}
    >
      <div class="col">
        <p>It is watched no longer, and its history can no longer be reached.</p>
        {gone.length > 0 && <p>Deleted with it, because they watch nothing else: {gone.join(", ")}.</p>}
        {edited.length > 0 && <p>These checks stay for their other systems: {edited.join(", ")}.</p>}
        <ErrorBox error={error ?? checks.error} doing={error ? `Delete ${name}` : "Look for its checks"} />
      </div>
    </Confirm>
  );
}
