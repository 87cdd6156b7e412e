import { api, signedOut } from "../lib/api";
import { singleKeys } from "../lib/keys";
import { navigate } from "../lib/router";
import { setTheme, theme } from "../lib/theme";
import { type MenuItem, toast, toastError } from "../ui";

/** The items of the menu in the top bar. */
export function themeItems(onHelp: () => void): MenuItem[] {
  return [
    { label: "System theme", icon: "laptop", checked: theme.value === "system", run: () => setTheme("system") },
    { label: "Light theme", icon: "sun", checked: theme.value === "light", run: () => setTheme("light") },
    { label: "Dark theme", icon: "moon", checked: theme.value === "dark", run: () => setTheme("dark") },
    {
      label: singleKeys.on ? "Switch single keys off" : "Switch single keys on",
      icon: "command",
      apart: true,
      run: () => {
        singleKeys.on = !singleKeys.on;
        toast(`Single keys are ${singleKeys.on ? "on" : "off"}`);
      },
    },
    { label: "Nodes", icon: "layers", run: () => navigate("/nodes") },
    { label: "Keys and help", icon: "help", hint: "?", run: onHelp },
    {
      label: "Sign out",
      icon: "logout",
      apart: true,
      run: () => {
        api.post("/logout").then(
          () => {
            signedOut.value = true;
          },
          (err) => toastError("Sign out", err),
        );
      },
    },
  ];
}
