import { Button, Mark } from "../ui";

/** What somebody sees who is not signed in: how to sign in. */
export function SignedOut() {
  return (
    <main class="signed-out" id="main">
      <Mark size={44} />
      <h1>Sign in to Tocsin</h1>
      <p class="dim2">Tocsin has no passwords. You sign in with a link that works once.</p>
      <ol class="prose">
        <li>
          When the server starts, it prints a line like
          <pre>open http://localhost:8420/login?link=…</pre>
        </li>
        <li>
          For a new link, run this where the server runs:
          <pre>tocsin login-link</pre>
        </li>
        <li>Open the link in this browser. You come back here, signed in.</li>
      </ol>
      <Button kind="primary" icon="refresh" onClick={() => location.reload()}>
        I am signed in, try again
      </Button>
    </main>
  );
}
