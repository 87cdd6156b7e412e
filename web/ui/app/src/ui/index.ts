// The widgets of Tocsin. Styles are in styles/ui.css; icons in icons.ts.
//
//   Button       a button, or a link that looks like one; kind primary, ghost, danger; busy; icon; small
//   Card         panel with a title and actions; bare for tables; bar for the colour of a health
//   Pill, Tag    short labels
//   Seg          one choice among a few, side by side
//   Field        label, hint and errors around a control; TextField, TextArea, Select, Switch are made of it;
//                problemsAt(problems, path) picks the server's problems of a field
//   Dialog       modal; Confirm asks before what cannot be undone
//   Diff         what differs between two texts
//   Menu         a button with a menu
//   Combobox     text with suggestions
//   toast(...)   what became of what the person did; toastError(doing, err); Toasts is in the shell
//   Table        plain table with columns, clickable rows and a detail below a row
//   Status       glyph of a health; healthNames, outcomeNames, outcomeLook
//   Bars         the newest outcomes as bars
//   Lane         spans over time
//   Skeleton, SkeletonRows, Empty, ErrorBox, Diagnostics   loading, empty and error states
//   Time, Ago    instants, alive
//   Icon, Mark   icons and the mark
//
// A page is pages/NAME/index.tsx with a default export that takes PageProps
// (lib/router); wrap it in Page from shell/Page. Data: useResource (lib/resource)
// over api (lib/api); live events: useTopic (live/index). Links are plain <a href>.
export { Bars, barPaths, barsText } from "./Bars";
export { Button, type ButtonProps } from "./Button";
export { Card } from "./Card";
export { Combobox, type Option } from "./Combobox";
export { Confirm, Dialog } from "./Dialog";
export { Diff } from "./Diff";
export { Diagnostics, Empty, ErrorBox, Skeleton, SkeletonRows } from "./Feedback";
export { Field, problemsAt, Select, Switch, TextArea, TextField } from "./Field";
export { Icon, Mark } from "./Icon";
export type { IconName } from "./icons";
export { Lane, type LaneSpan, laneHeight } from "./Lanes";
export { Menu, type MenuItem } from "./Menu";
export { Pill, Tag } from "./Pill";
export { Seg } from "./Seg";
export { healthNames, outcomeLook, outcomeNames, Status } from "./Status";
export { type Column, Table } from "./Table";
export { Ago, Time } from "./Time";
export { Toasts, toast, toastError } from "./Toast";
