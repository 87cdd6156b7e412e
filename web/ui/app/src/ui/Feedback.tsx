import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { Problem } from "../api.gen";
import { ApiError } from "../lib/api";
import { Button } from "./Button";
import { Icon } from "./Icon";

/** A grey shape where text or a chart will be. It waits 200 ms before it shows, so that quick answers do not flash. */
export function Skeleton({ width = "100%", height = 14, at = 0 }: { width?: string | number; height?: number; at?: number }) {
  const [shown, setShown] = useState(false);
  useEffect(() => {
    const id = setTimeout(() => setShown(true), 200 + at);
    return () => clearTimeout(id);
  }, [at]);
  return <span class={shown ? "sk" : undefined} style={{ display: "block", width, height }} aria-hidden="true" />;
}

/** Lines of skeleton, in the place of a list. */
export function SkeletonRows({ rows = 6, height = 14 }: { rows?: number; height?: number }) {
  return (
    <div class="col" role="status" aria-label="Loading">
      {Array.from({ length: rows }, (_, i) => (
        <Skeleton key={i} height={height} width={`${92 - ((i * 17) % 40)}%`} />
      ))}
    </div>
  );
}

/** Nothing is here: says what this place is for and how to fill it. */
export function Empty({
  title,
  children,
  actions,
  art,
}: {
  title: string;
  children?: ComponentChildren;
  actions?: ComponentChildren;
  art?: ComponentChildren;
}) {
  return (
    <div class="empty">
      {art}
      <h2>{title}</h2>
      {children && <p>{children}</p>}
      {actions && <div class="actions">{actions}</div>}
    </div>
  );
}

/** What went wrong, with a way to try again. Keeps quiet about a missing error. */
export function ErrorBox({ error, doing, retry }: { error: unknown; doing?: string; retry?: () => void }) {
  if (!error) return null;
  const api = error instanceof ApiError ? error : undefined;
  const title =
    api?.status === 403
      ? "You may not see this"
      : api?.status === 422
        ? "It cannot be saved like this"
        : (api?.title ?? "Something went wrong");
  return (
    <div class="errbox" role="alert">
      <Icon name="alert" size={16} />
      <div class="sp">
        <b>{doing ? `${doing}: ${title}` : title}</b>
        {api?.detail && api.detail !== title && api.problems.length === 0 && <div>{api.detail}</div>}
        {!api && <div>{String(error)}</div>}
        {api && api.problems.length > 0 && <Diagnostics problems={api.problems} />}
        {api?.request && <div class="dim small mono">request {api.request}</div>}
      </div>
      {retry && (
        <Button small icon="refresh" onClick={retry}>
          Retry
        </Button>
      )}
    </div>
  );
}

/** A list of problems: where, what, how to mend it. */
export function Diagnostics({ problems, onPick }: { problems: Problem[]; onPick?: (p: Problem) => void }) {
  return (
    <ul class="diags">
      {problems.map((p, i) => (
        <li key={`${p.path}${i}`}>
          <span class="t-unhealthy">
            <Icon name="alert" size={15} />
          </span>
          <span>
            {where(p) && <span class="mono dim2">{where(p)} </span>}
            {p.message}
            {p.fix && <span class="dim2">; {p.fix}</span>}
            {onPick && (
              <Button small kind="ghost" onClick={() => onPick(p)}>
                Show
              </Button>
            )}
          </span>
          {p.snippet && <pre>{p.snippet}</pre>}
        </li>
      ))}
    </ul>
  );
}

function where(p: Problem): string {
  const place = p.line ? `${p.file ? `${p.file}:` : ""}${p.line}:${p.column ?? 1}` : "";
  return [place, p.path].filter(Boolean).join(" ");
}
