import { modKey } from "../lib/keys";
import { Dialog } from "../ui";

const groups: [string, [string, string][]][] = [
  [
    "Everywhere",
    [
      [`${modKey} K`, "Search or run a command"],
      ["g s", "Go to Systems"],
      ["g a", "Go to Activity"],
      ["g r", "Go to Rules"],
      ["g c", "Go to Collectors"],
      ["t", "Theme: light, dark, system"],
      ["?", "This help"],
      ["Esc", "Close, or go back"],
    ],
  ],
  [
    "Lists",
    [
      ["/", "Filter (instead of searching the page: only rows on the screen exist)"],
      [".", "Sort again now"],
      ["j k ↑ ↓", "Move"],
      ["Home End", "First, last"],
      ["Enter", "Open"],
    ],
  ],
  [
    "System",
    [
      ["r", "Run its checks now"],
      ["m", "Mute"],
      ["e", "Edit"],
      ["[ ]", "Shorter, longer range"],
    ],
  ],
];

/** The keys. */
export function Help({ onClose }: { onClose: () => void }) {
  return (
    <Dialog title="Keys" onClose={onClose}>
      <div class="b">
        {groups.map(([name, keys]) => (
          <section key={name}>
            <h3 class="dim">{name}</h3>
            <dl class="keys">
              {keys.map(([key, does]) => (
                <div key={key}>
                  <dt>
                    {key.split(" ").map((k) => (
                      <kbd key={k}>{k}</kbd>
                    ))}
                  </dt>
                  <dd>{does}</dd>
                </div>
              ))}
            </dl>
          </section>
        ))}
        <p class="dim small">
          Filters: <span class="mono">status:unhealthy,stale</span>, <span class="mono">team:payments</span> for a tag,{" "}
          <span class="mono">group:eu</span>, <span class="mono">is:firing</span>, <span class="mono">-tier:3</span> for not,{" "}
          <span class="mono">"two words"</span>.
        </p>
      </div>
    </Dialog>
  );
}
