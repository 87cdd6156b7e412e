// A collector that keeps the latencies of the last runs and holds a percentile
// of them to a limit. See README.md.
import { Answer, Field, HttpRequest, Manifest, Run, Type, Value, register } from "../../../../wasm/guest/assemblyscript/assembly";
export * from "../../../../wasm/guest/assemblyscript/assembly/exports";

register(
  new Manifest("latency-percentile", "1.0.0")
    .doc("A percentile of the latency of the last requests to a URL. One slow answer does not move it, many do.")
    .author("Tocsin")
    .field(Field.text("url", "what to ask").format("uri"))
    .field(Field.num("percentile", "which one").byDefault(95).min(1).max(100))
    .field(Field.int("window", "over how many of the last requests").byDefault(50).min(1).max(1000))
    .field(Field.int("least", "pass until there are so many").byDefault(5).min(1))
    .field(Field.num("warn_ms", "warn above this").byDefault(500).min(0))
    .field(Field.num("fail_ms", "fail above this").byDefault(2000).min(0))
    .sample("percentile_ms", Type.Number, "ms", "the percentile of the last requests")
    .sample("latest_ms", Type.Number, "ms", "of this request")
    .sample("requests", Type.Integer, "", "requests that are remembered")
    .sample("status", Type.Integer, "", "status of the answer")
    .http("http://*:*").http("https://*:*").privateHosts().keeps(),
  collect,
);

function collect(run: Run): Answer {
  const response = run.http(new HttpRequest(run.text("url")));
  if (response.failed) return response.answer();
  if (response.status >= 500) return Answer.fail(run.text("url") + " answered " + response.status.toString()).num("status", response.status);

  // What earlier runs measured, oldest first. Each assignment has its own.
  const kept = run.kept("latencies");
  if (kept.failed) return kept.answer();
  const latencies: f64[] = [];
  const read = Value.parse(kept.value.text("[]"));
  if (read.error != "") run.info("what was kept is not valid and is forgotten: " + read.error);
  for (let i = 0; i < read.value.length; i++) latencies.push(read.value.at(i).num());
  latencies.push(Math.round(response.durationMs * 1000) / 1000);
  while (latencies.length > <i32>run.num("window")) latencies.shift();

  const list = Value.list();
  for (let i = 0; i < latencies.length; i++) list.push(latencies[i]);
  const stored = run.keep("latencies", list.toString());
  if (stored.failed) return stored.answer();

  const p = run.num("percentile");
  const ms = percentile(latencies, p);
  return judge(run, latencies.length, p, ms)
    .num("percentile_ms", ms).num("latest_ms", latencies[latencies.length - 1])
    .num("requests", latencies.length).num("status", response.status);
}

function judge(run: Run, n: i32, p: f64, ms: f64): Answer {
  const what = "p" + shown(p) + " of the last " + n.toString() + " requests is " + shown(ms) + " ms";
  if (n < <i32>run.num("least")) return Answer.pass(what + ", too few to judge");
  if (ms > run.num("fail_ms")) return Answer.fail(what + ", the most is " + shown(run.num("fail_ms")) + " ms");
  if (ms > run.num("warn_ms")) return Answer.warn(what + ", the warning is at " + shown(run.num("warn_ms")) + " ms");
  return Answer.pass(what);
}

/** The smallest value that p percent of all are not above. */
function percentile(all: f64[], p: f64): f64 {
  const sorted = all.slice(0).sort();
  const rank = <i32>Math.ceil(p / 100 * sorted.length);
  return sorted[max(rank, 1) - 1];
}

function shown(n: f64): string { return Value.of(n).toString(); }
