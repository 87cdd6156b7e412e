import { useState } from "preact/hooks";
import type { DemoTarget } from "../../api.gen";
import { api, can, seg } from "../../lib/api";
import { boot } from "../../lib/boot";
import { useResource } from "../../lib/resource";
import { offlineReason } from "../../live";
import { Card, Seg, toastError } from "../../ui";

const modes = [
  ["up", "Up"],
  ["down", "Down"],
  ["slow", "Slow"],
  ["flaky", "Flaky"],
] as const;
type Mode = (typeof modes)[number][0];

/** Breaks and mends the service of the demo shop that the system stands for; nothing elsewhere. */
export function Demo({ system }: { system: string }) {
  const targets = useResource<DemoTarget[]>(boot.demo ? "demo" : null, (signal) => api.get("/demo", { signal }));
  const [asked, setAsked] = useState<Mode>();
  const target = targets.data?.find((t) => t.system === system);
  if (!target) return null;
  const blocked = offlineReason() ?? (can("operator") ? undefined : "Needs the role operator");
  const set = async (mode: Mode) => {
    if (blocked) return toastError("Change the demo", new Error(blocked));
    setAsked(mode);
    try {
      targets.set(await api.put<DemoTarget[]>(`/demo/${seg(system)}`, { mode }));
    } catch (err) {
      toastError("Change the demo", err);
    }
    setAsked(undefined);
  };
  return (
    <Card title="Demo service">
      <div class="demo">
        <Seg
          label="How the demo service behaves"
          value={asked ?? (target.mode as Mode)}
          options={modes}
          onChange={(mode) => void set(mode)}
        />
        <p class="dim2">Break it, and watch its checks, its health and the rules notice.</p>
      </div>
    </Card>
  );
}
