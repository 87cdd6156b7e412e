import type { ComponentChildren } from "preact";

export interface Column<T> {
  id: string;
  head: ComponentChildren;
  /** Numbers stand at the end of the cell. */
  end?: boolean;
  cell: (row: T) => ComponentChildren;
  class?: string;
}

/** A plain table. onOpen makes rows clickable; the first cell should then hold a link or a button for the keyboard. */
export function Table<T>({
  label,
  rows,
  columns,
  keyOf,
  onOpen,
  detail,
}: {
  label: string;
  rows: T[];
  columns: Column<T>[];
  keyOf: (row: T) => string | number;
  onOpen?: (row: T) => void;
  detail?: (row: T) => ComponentChildren;
}) {
  return (
    <div class="scroll-x" role="region" aria-label={label} tabIndex={0}>
      <table class="tbl" aria-label={label}>
        <thead>
          <tr>
            {columns.map((c) => (
              <th key={c.id} scope="col" class={[c.end && "r", c.class].filter(Boolean).join(" ") || undefined}>
                {c.head}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => {
            const more = detail?.(row);
            return [
              <tr
                key={keyOf(row)}
                class={onOpen && "act"}
                onClick={onOpen && ((e) => !(e.target as Element).closest("a,button,input") && !getSelection()?.toString() && onOpen(row))}
              >
                {columns.map((c) => (
                  <td key={c.id} class={[c.end && "r num", c.class].filter(Boolean).join(" ") || undefined}>
                    {c.cell(row)}
                  </td>
                ))}
              </tr>,
              more && (
                <tr key={`${keyOf(row)}-more`}>
                  <td colSpan={columns.length}>{more}</td>
                </tr>
              ),
            ];
          })}
        </tbody>
      </table>
    </div>
  );
}
