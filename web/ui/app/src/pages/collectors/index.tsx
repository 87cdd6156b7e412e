import type { PageProps } from "../../lib/router";
import { Detail } from "./Detail";
import { List } from "./List";
import { ScriptPage } from "./ScriptPage";
import "./collectors.css";

/** /collectors, /collectors/new-script, /collectors/:name and /collectors/:name/edit. */
export default function Collectors({ route }: PageProps) {
  const [, name, part] = route.segments;
  if (name === "new-script" || part === "edit") {
    const edited = part === "edit" ? (name ?? "") : "";
    return <ScriptPage key={edited} name={edited} version={route.query.get("v") ?? ""} />;
  }
  return name ? <Detail key={name} name={name} version={route.query.get("v") ?? ""} /> : <List />;
}
