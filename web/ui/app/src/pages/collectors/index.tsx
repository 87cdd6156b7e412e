import type { PageProps } from "../../lib/router";
import { Detail } from "./Detail";
import { List } from "./List";
import "./collectors.css";

/** /collectors and /collectors/:name. */
export default function Collectors({ route }: PageProps) {
  const [, name] = route.segments;
  return name ? <Detail key={name} name={name} version={route.query.get("v") ?? ""} /> : <List />;
}
