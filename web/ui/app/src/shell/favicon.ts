import type { Health } from "../api.gen";

const dots: Record<Health, string> = { unknown: "", healthy: "", degraded: "#f4c648", unhealthy: "#e5383b", stale: "#8e9ab8" };

/** The icon of the tab: the mark, with a dot when something is wrong. Green is the absence of a dot. */
export function faviconSvg(state: Health): string {
  const dot = dots[state];
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24"><rect width="24" height="24" rx="6" fill="#2456c7"/><path d="M6.100 6.200a8 8 0 0 0-1.900 5M17.900 6.200a8 8 0 0 1 1.900 5" fill="none" stroke="#fff" stroke-width="1.700" stroke-linecap="round"/><path d="M12 4.600c-2.700 0-4.400 2-4.400 4.900 0 3-.7 4.300-1.700 5.500-.4.500 0 1.200.6 1.200h11c.6 0 1-.7.6-1.200-1-1.200-1.700-2.500-1.700-5.500 0-2.900-1.700-4.900-4.400-4.900ZM10.200 17.600a1.900 1.900 0 0 0 3.600 0Z" fill="#fff"/>${dot ? `<circle cx="18" cy="18" r="5.200" fill="${dot}" stroke="#fff" stroke-width="1.600"/>` : ""}</svg>`;
}

/** Put the icon of state into the tab. */
export function favicon(state: Health): void {
  let link = document.querySelector<HTMLLinkElement>('link[rel="icon"]');
  if (!link) {
    link = document.createElement("link");
    link.rel = "icon";
    document.head.append(link);
  }
  link.href = `data:image/svg+xml,${encodeURIComponent(faviconSvg(state))}`;
}
