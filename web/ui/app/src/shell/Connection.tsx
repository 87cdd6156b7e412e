import { clock, span } from "../lib/format";
import { tick } from "../lib/time";
import { conn, fleet, heard, retryNow } from "../live";
import { Button, Icon, Pill } from "../ui";

/** The state of the connection in two words. */
export function ConnPill() {
  tick.value; // once a second: the pill counts
  const c = conn.value;
  const silent = heard() ? Date.now() - heard() : 0;
  switch (c.state) {
    case "live":
    case "catchup":
      return (
        <Pill kind="healthy" dot title="Changes appear as they happen">
          Live
        </Pill>
      );
    case "slow":
      return (
        <Pill kind="degraded" dot title="This connection is slow; the server sends less often">
          Live, {Math.max(1, Math.round(1 / Math.max(0.2, c.hz)))} s behind
        </Pill>
      );
    case "stale":
      return (
        <Pill kind="degraded" dot title="The connection is open, but nothing comes">
          No updates for {span(silent)}
        </Pill>
      );
    case "reconnecting":
      return (
        <Pill kind="degraded" dot title="The server does not answer">
          Reconnecting
        </Pill>
      );
    case "polling":
      return (
        <Pill kind="degraded" dot title="The live connection is refused; asking every 15 s instead">
          Polling
        </Pill>
      );
    case "signedout":
      return <Pill dot>Signed out</Pill>;
    case "outdated":
      return <Pill dot>Out of date</Pill>;
    default:
      return (
        <Pill kind="unknown" dot>
          Connecting
        </Pill>
      );
  }
}

/** A line across the page when the connection is lost or the page is out of date. */
export function Banner() {
  tick.value;
  const c = conn.value;
  const lost = c.state === "reconnecting" && (fleet.loaded || heard() > 0);
  if (!lost && (c.newBuild || c.state === "outdated"))
    return (
      <div class="banner info" role="status">
        <Icon name="info" />
        <span class="sp">A new version of this page is available.</span>
        <Button small onClick={() => location.reload()}>
          Reload
        </Button>
      </div>
    );
  if (!lost) return null;
  const wait = Math.ceil((c.retryAt - Date.now()) / 1000);
  return (
    <div class="banner" role="status">
      <Icon name="alert" />
      <span class="sp">
        <b>Connection lost.</b> {heard() > 0 && <>Showing data from {clock(new Date(heard()))}. </>}
        <span class="num">{c.retryAt > 0 && wait > 0 ? `Retrying in ${wait} s.` : "Retrying now."}</span>
      </span>
      <Button small onClick={() => retryNow()}>
        Retry now
      </Button>
    </div>
  );
}

/** A thin line while the page catches up after it was away. */
export function Progress() {
  return conn.value.state === "catchup" ? <div class="progress" role="progressbar" aria-label="Catching up" /> : null;
}
