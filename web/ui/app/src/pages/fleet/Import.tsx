import { useRef, useState } from "preact/hooks";
import type { Applied } from "../../api.gen";
import { api } from "../../lib/api";
import { plural } from "../../lib/format";
import { offlineReason } from "../../live";
import { Button, Dialog, ErrorBox, Icon, Tag, TextArea, toast } from "../../ui";

/** Send YAML documents; with dry only look at what would become of them. */
export function apply(text: string, dry: boolean): Promise<Applied> {
  return api.raw<Applied>(`/apply${dry ? "?dry_run=true" : ""}`, "application/yaml", text);
}

/** In words: "2 systems created, 1 check updated". */
export function summary(a: Applied): string {
  const n = new Map<string, number>();
  for (const item of a.items ?? [])
    n.set(`${item.kind.toLowerCase()}|${item.action}`, (n.get(`${item.kind.toLowerCase()}|${item.action}`) ?? 0) + 1);
  return [...n].map(([key, count]) => `${plural(count, key.split("|")[0]!)} ${key.split("|")[1]}`).join(", ") || "nothing to do";
}

/** Read the files that were dropped or chosen, as one text of several documents. */
export async function readFiles(files: Iterable<File>): Promise<string> {
  const texts: string[] = [];
  for (const file of files) texts.push((await file.text()).trim());
  return texts.join("\n---\n");
}

const sample = `apiVersion: tocsin/v1
kind: System
metadata: {name: shop, title: Shop front}
spec: {tags: {team: shop}}
---
apiVersion: tocsin/v1
kind: Check
metadata: {name: shop-http}
spec:
  systems: [shop]
  every: 30s
  collect:
    - use: http
      with: {url: "https://shop.example.com/healthz"}
`;

/** Paste, drop or choose YAML; look at what would happen; do it. */
export function ImportDialog({ onClose, initial = "" }: { onClose: () => void; initial?: string }) {
  const [text, setText] = useState(initial);
  const [tried, setTried] = useState<Applied>();
  const [error, setError] = useState<unknown>();
  const [busy, setBusy] = useState("");
  const [over, setOver] = useState(false);
  const file = useRef<HTMLInputElement>(null);
  const change = (next: string) => {
    setText(next);
    setTried(undefined);
    setError(undefined);
  };
  const send = async (dry: boolean) => {
    setBusy(dry ? "try" : "apply");
    setError(undefined);
    try {
      const answer = await apply(text, dry);
      if (dry) setTried(answer);
      else {
        toast(`Imported: ${summary(answer)}`);
        onClose();
        return;
      }
    } catch (err) {
      setTried(undefined);
      setError(err);
    }
    setBusy("");
  };
  const off = offlineReason();
  return (
    <Dialog title="Import YAML" wide onClose={onClose}>
      <div class="b">
        <div
          class={over ? "drop over" : "drop"}
          onDragOver={(e) => {
            e.preventDefault();
            setOver(true);
          }}
          onDragLeave={() => setOver(false)}
          onDrop={(e) => {
            e.preventDefault();
            setOver(false);
            void readFiles(e.dataTransfer?.files ?? []).then(change);
          }}
        >
          <Icon name="upload" size={20} />
          <span>
            Drop files here, paste below, or{" "}
            <Button small onClick={() => file.current?.click()}>
              Choose files
            </Button>
          </span>
          <input
            ref={file}
            type="file"
            class="sr"
            tabIndex={-1}
            multiple
            accept=".yaml,.yml,.json"
            aria-label="YAML files"
            onChange={(e) => void readFiles(e.currentTarget.files ?? []).then(change)}
          />
        </div>
        <TextArea
          label="Systems, checks and rules, as YAML documents"
          mono
          rows={14}
          spellcheck={false}
          placeholder={sample}
          value={text}
          onInput={change}
        />
        {error !== undefined && <ErrorBox error={error} doing="Import" />}
        {tried && (
          <div class="col">
            <div>
              This would be done: <b>{summary(tried)}</b>.
            </div>
            <ul class="applied">
              {tried.items.map((item) => (
                <li key={`${item.kind}${item.id}`}>
                  <Tag>{item.action}</Tag>
                  <span class="dim">{item.kind}</span>
                  <span class="mono truncate">{item.id}</span>
                </li>
              ))}
            </ul>
          </div>
        )}
        <div class="actions">
          <Button onClick={onClose}>Cancel</Button>
          <Button disabled={!text.trim() || !!off} title={off} busy={busy === "try"} onClick={() => send(true)}>
            Try without saving
          </Button>
          <Button kind="primary" disabled={!text.trim() || !!off} title={off} busy={busy === "apply"} onClick={() => send(false)}>
            Import
          </Button>
        </div>
      </div>
    </Dialog>
  );
}
