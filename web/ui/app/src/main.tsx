import { render } from "preact";
import "./styles/tokens.css";
import "./styles/base.css";
import "./styles/ui.css";
import "./styles/shell.css";
import "./pages/fleet/fleet.css";
import { startRouter } from "./lib/router";
import { App } from "./shell/App";

startRouter();
const root = document.getElementById("app");
if (root) render(<App />, root);
