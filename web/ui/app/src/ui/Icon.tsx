import { type IconName, icons } from "./icons";

/** An outline icon. It is decoration: the text beside it, or a label of its button, says what it means. */
export function Icon({ name, size = 16, class: cls }: { name: IconName; size?: number; class?: string }) {
  return (
    <svg
      class={cls}
      width={size}
      height={size}
      viewBox="0 0 24 24"
      fill="none"
      stroke="currentColor"
      stroke-width="1.8"
      stroke-linecap="round"
      stroke-linejoin="round"
      aria-hidden="true"
    >
      <path d={icons[name]} />
    </svg>
  );
}

/** The mark of Tocsin: a bell that rings. */
export function Mark({ size = 22 }: { size?: number }) {
  return (
    <svg width={size} height={size} viewBox="0 0 24 24" aria-hidden="true">
      <rect width="24" height="24" rx="6" fill="var(--accent)" />
      <g fill="none" stroke="var(--on-accent)" stroke-width="1.700" stroke-linecap="round">
        <path d="M6.100 6.200a8 8 0 0 0-1.900 5M17.900 6.200a8 8 0 0 1 1.900 5" />
      </g>
      <path
        d="M12 4.600c-2.700 0-4.400 2-4.400 4.900 0 3-.7 4.300-1.700 5.500-.4.500 0 1.200.6 1.200h11c.6 0 1-.7.6-1.200-1-1.200-1.700-2.500-1.700-5.500 0-2.900-1.700-4.900-4.400-4.900Z"
        fill="var(--on-accent)"
      />
      <path d="M10.200 17.600a1.900 1.900 0 0 0 3.600 0Z" fill="var(--on-accent)" />
    </svg>
  );
}
