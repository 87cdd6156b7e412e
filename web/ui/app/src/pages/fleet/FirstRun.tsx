import { useRef, useState } from "preact/hooks";
import { ApiError } from "../../lib/api";
import { navigate, setQuery, to } from "../../lib/router";
import { fleet } from "../../live";
import { Button, ErrorBox, Icon, Mark, toast } from "../../ui";
import { create, objects } from "./create";
import { exampleYaml } from "./example";
import { apply, ImportDialog, readFiles, summary } from "./Import";

/** Without the paths of a document that the person has not written. */
function plain(err: ApiError): ApiError {
  const problems = err.problems.map((p) => ({ ...p, path: undefined }));
  return new ApiError(err.status, err.title, err.detail, problems, err.request);
}

/** What an empty instance shows in the place of the list: the ways to a first system. */
export function FirstRun({ blocked }: { blocked?: string }) {
  const [address, setAddress] = useState("");
  const [busy, setBusy] = useState("");
  const [error, setError] = useState<unknown>();
  const [over, setOver] = useState(false);
  const [dropped, setDropped] = useState<string>();
  const input = useRef<HTMLInputElement>(null);

  const watch = async (e: Event) => {
    e.preventDefault();
    if (!address.trim()) {
      input.current?.focus();
      return;
    }
    setBusy("url");
    setError(undefined);
    try {
      const made = objects({ url: address, name: "", every: "10s", tags: "", groups: "" }, (id) => !!fleet.find(id));
      await create(made, true);
      toast("Watched every 10 s. A rule writes to the log when it fails.");
      navigate(to.system(made.system.id));
    } catch (err) {
      setError(err instanceof ApiError ? plain(err) : err);
    }
    setBusy("");
  };
  const example = async () => {
    setBusy("example");
    setError(undefined);
    try {
      toast(`Example loaded: ${summary(await apply(exampleYaml(location.origin), false))}`);
    } catch (err) {
      setError(err);
    }
    setBusy("");
  };
  const problems = error instanceof ApiError ? error.problems : [];
  return (
    <div class="first">
      <div class="lead">
        <Mark size={48} />
        <h1>No systems yet</h1>
        <p class="dim2">
          A system is a thing whose health you care about. Paste an address: it is asked every 10 seconds, and you see at once how it is.
        </p>
      </div>
      <form class="first-url" onSubmit={watch} noValidate>
        <input
          ref={input}
          class="in"
          type="text"
          inputMode="url"
          autocomplete="url"
          spellcheck={false}
          aria-label="Address to watch"
          aria-invalid={problems.length > 0}
          placeholder="https://shop.example.com/healthz"
          value={address}
          disabled={!!blocked}
          onInput={(e) => setAddress(e.currentTarget.value)}
        />
        <Button kind="primary" type="submit" busy={busy === "url"} disabled={!!blocked} title={blocked}>
          Watch it
        </Button>
      </form>
      {blocked && <p class="dim">{blocked}.</p>}
      {error !== undefined && <ErrorBox error={error} doing={busy === "example" ? "Load the example" : "Add the system"} />}
      <div class="first-two">
        <div
          class={over ? "choice over" : "choice"}
          onDragOver={(e) => {
            e.preventDefault();
            setOver(true);
          }}
          onDragLeave={() => setOver(false)}
          onDrop={(e) => {
            e.preventDefault();
            setOver(false);
            void readFiles(e.dataTransfer?.files ?? []).then(setDropped);
          }}
        >
          <Icon name="file" size={20} />
          <h2>Import YAML</h2>
          <p>Systems, checks and rules as files. Drop them here, or paste them.</p>
          <Button disabled={!!blocked} title={blocked} onClick={() => setQuery({ import: "1" })}>
            Import
          </Button>
        </div>
        <div class="choice">
          <Icon name="play" size={20} />
          <h2>Load the example</h2>
          <p>Three systems on this machine, one of them broken on purpose, and a rule that notices. Nothing leaves the machine.</p>
          <Button disabled={!!blocked} title={blocked} busy={busy === "example"} onClick={example}>
            Load the example
          </Button>
        </div>
      </div>
      {dropped !== undefined && <ImportDialog initial={dropped} onClose={() => setDropped(undefined)} />}
    </div>
  );
}
