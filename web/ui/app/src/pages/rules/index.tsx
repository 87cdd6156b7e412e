import type { PageProps } from "../../lib/router";
import { Edit } from "./Edit";
import { List } from "./List";
import { Trace } from "./Trace";
import "./rules.css";

/** /rules, /rules/new, /rules/:id and /rules/:id/trace. */
export default function Rules({ route }: PageProps) {
  const [, id, tab] = route.segments;
  if (!id) return <List />;
  if (tab === "trace") return <Trace key={id} id={id} route={route} />;
  return <Edit key={id} id={id === "new" ? "" : id} template={route.query.get("template") ?? ""} />;
}
