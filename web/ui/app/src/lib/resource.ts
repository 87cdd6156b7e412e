import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { type ApiError, aborted } from "./api";

/** What a page knows of something it asked the server for. */
export interface Resource<T> {
  /** The newest answer, kept while a reload runs or fails. */
  data: T | undefined;
  /** Why the newest request failed. */
  error: ApiError | undefined;
  /** A request is under way. */
  loading: boolean;
  /** Ask again. */
  reload: () => void;
  /** Put a value in place of the answer, for example after a save. */
  set: (data: T) => void;
}

/**
 * Ask the server when the page appears and whenever key changes. An answer to
 * an old key is never shown. A key of null asks nothing.
 */
export function useResource<T>(key: string | null, ask: (signal: AbortSignal) => Promise<T>): Resource<T> {
  const [state, setState] = useState<{ key: string | null; data?: T; error?: ApiError; loading: boolean }>({ key, loading: key !== null });
  const [turn, setTurn] = useState(0);
  const latest = useRef(ask);
  latest.current = ask;
  // biome-ignore lint/correctness/useExhaustiveDependencies: turn asks again with the same key
  useEffect(() => {
    if (key === null) return;
    const abort = new AbortController();
    setState((was) => (was.key === key ? { ...was, loading: true } : { key, loading: true }));
    latest.current(abort.signal).then(
      (data) => setState({ key, data, loading: false }),
      (error) => !aborted(error) && setState((was) => ({ key, data: was.key === key ? was.data : undefined, error, loading: false })),
    );
    return () => abort.abort();
  }, [key, turn]);
  const reload = useCallback(() => setTurn((n) => n + 1), []);
  const set = useCallback((data: T) => setState((was) => ({ ...was, data, error: undefined, loading: false })), []);
  const mine = state.key === key;
  return { data: mine ? state.data : undefined, error: mine ? state.error : undefined, loading: mine ? state.loading : true, reload, set };
}
