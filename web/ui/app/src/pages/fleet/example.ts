/**
 * A small world that needs nothing but this server: it watches itself, slowly
 * and quickly, and a port where nobody answers.
 */
export function exampleYaml(origin: string): string {
  const host = new URL(origin);
  const port = host.port || (host.protocol === "https:" ? "443" : "80");
  return `apiVersion: tocsin/v1
kind: System
metadata: {name: tocsin, title: This server}
spec: {tags: {example: "yes", tier: "1"}, groups: [example]}
---
apiVersion: tocsin/v1
kind: System
metadata: {name: front-door, title: Front door}
spec: {tags: {example: "yes", tier: "2"}, groups: [example], depends_on: [tocsin]}
---
apiVersion: tocsin/v1
kind: System
metadata: {name: closed-door, title: Closed door}
spec:
  tags: {example: "yes", tier: "3"}
  groups: [example]
  note: Broken on purpose. Nothing listens on this port.
---
apiVersion: tocsin/v1
kind: Check
metadata: {name: example-ready, title: Says that it is ready}
spec:
  systems: [tocsin]
  every: 5s
  collect:
    - use: http
      with: {url: "${origin}/readyz"}
      assert: ['status == 200']
      warn: ['latency < duration("250ms")']
---
apiVersion: tocsin/v1
kind: Check
metadata: {name: example-open, title: Accepts connections}
spec:
  systems: [front-door]
  every: 5s
  collect:
    - use: tcp
      with: {address: "${host.hostname}:${port}"}
---
apiVersion: tocsin/v1
kind: Check
metadata: {name: example-closed, title: Accepts connections}
spec:
  systems: [closed-door]
  every: 5s
  timeout: 2s
  collect:
    - use: tcp
      with: {address: "${host.hostname}:9"}
---
apiVersion: tocsin/v1
kind: Rule
metadata: {name: tell-of-outages, title: Tell of outages}
spec:
  note: Writes to the log of the server when a system stays unhealthy for 10 seconds, and when it has recovered.
  on: health.changed
  when: to == "unhealthy"
  gate: {for: 10s}
  do:
    - log: {message: "\${system.name} is unhealthy: \${why}"}
  recover:
    - log: {message: "\${system.name} has recovered"}
`;
}
