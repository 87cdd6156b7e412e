import type { FleetRow, Frame, Push, Row, Event as WireEvent } from "../api.gen";

/** The version of the protocol that this client speaks, and its name as a subprotocol. */
export const version = 1;
export const subprotocol = "live.v1";

/** Handles that one subscription of rows may name. */
export const maxRows = 200;

/** Text of a frame to the server. */
export function encode(frame: Frame): string {
  return JSON.stringify(frame);
}

/**
 * A frame of the server, or null for what cannot be one: a frame that this
 * client does not understand is passed over and never breaks the stream.
 */
export function decode(text: string): Push | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  if (typeof value !== "object" || value === null || typeof (value as Push).t !== "string") return null;
  return value as Push;
}

/** What a subscription is told. */
export interface Sink {
  /** A state delta: the newest state of what changed, to apply at once. */
  delta?: (push: { seq: number; fleet: FleetRow[]; rows: Row[] }) => void;
  /** Events to append. */
  events?: (events: WireEvent[], seq: number) => void;
  /** The server cannot continue from where we were: fetch anew. */
  reset?: (why: string) => void;
  /** Refused: code and sentence. */
  refused?: (code: string, message: string) => void;
}

/** Hand push to sink. */
export function deliver(push: Push, sink: Sink): void {
  switch (push.t) {
    case "d":
      sink.delta?.({ seq: push.seq ?? 0, fleet: push.fleet ?? [], rows: push.rows ?? [] });
      break;
    case "e":
      sink.events?.(push.ev ?? [], push.seq ?? 0);
      break;
    case "reset":
      sink.reset?.(push.why ?? "");
      break;
    case "err":
      sink.refused?.(push.code ?? "", push.msg ?? "");
      break;
  }
}
