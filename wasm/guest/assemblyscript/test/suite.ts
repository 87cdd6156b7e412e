// A module that tests the package from inside of the sandbox; wasm/guest's
// sdk_test.go builds it, runs it and looks at what it reports.
import { Answer, Field, HttpRequest, Level, Manifest, Problem, Run, Type, Value, answerCall, register, registerAction } from "../assembly";
export * from "../assembly/exports";

const failures: string[] = [];

function same(what: string, got: string, want: string): void {
  if (got != want) failures.push(what + ": got " + got + ", want " + want);
}

function testJSON(): void {
  const good = [
    "null", "null", " true ", "true", "false", "false", "0", "0", "-0.5", "-0.5", "1.50", "1.5", "1e3", "1000",
    "12345678901", "12345678901", "0.1", "0.1", "1e21", "1e+21", "\"\"", "\"\"",
    "\"a\\\"\\\\\\/\\b\\f\\n\\r\\tz\"", "\"a\\\"\\\\/\\u0008\\u000c\\n\\r\\tz\"",
    "\"\\u00e9\\u20AC\\ud83d\\ude00\"", "\"é€😀\"",
    "[]", "[]", "[ 1 , [2] , {} ]", "[1,[2],{}]", "{ \"a\" : 1, \"b\":{\"c\":[null]} }", "{\"a\":1,\"b\":{\"c\":[null]}}",
  ];
  for (let i = 0; i < good.length; i += 2) {
    const read = Value.parse(good[i]);
    same(good[i], read.error == "" ? read.value.toString() : read.error, good[i + 1]);
  }
  const bad = [
    "", "1: the document ends", "[1,", "4: the document ends", "[1 2]", "4: a comma", "[1,]", "4: a value", "{1:2}", "2: the name of a field",
    "{\"a\" 1}", "6: a colon", "01", "3: this is not a number", "-", "2: this is not a number", "1.", "3: digits are expected after",
    "1e", "3: digits are expected in", "1e999", "6: the number is too large", "\"a", "3: the text does not end", "\"a\n\"", "3: a control character",
    "\"\\x\"", "3: there is no such escape", "\"\\u12\"", "4: four hexadecimal digits", "nul", "1: a value", "1 2", "3: the document goes on",
  ];
  for (let i = 0; i < bad.length; i += 2) {
    const error = Value.parse(bad[i]).error;
    if (!error.startsWith("JSON, character " + bad[i + 1])) failures.push(bad[i] + ": got " + error + ", want " + bad[i + 1]);
  }
  const deep = "[".repeat(129);
  if (!Value.parse(deep).error.includes("nests too deep")) failures.push("a document that nests too deep is read");
  same("128 levels", Value.parse("[".repeat(128) + "]".repeat(128)).error, "");

  const whole = "{\"a\":[1,-2.5e3,true,null,\"x\\u00e9\\n\"],\"b\":{\"c\":false}}";
  for (let n = 0; n < whole.length; n++) {
    if (Value.parse(whole.substring(0, n)).error == "") failures.push("half a document is read: " + whole.substring(0, n));
  }
  for (let i = 0; i < whole.length; i++) {
    for (let c = 0; c < 0x80; c += 3) {
      const read = Value.parse(whole.substring(0, i) + String.fromCharCode(c) + whole.substring(i + 1));
      if (read.error != "") continue;
      const text = read.value.toString();
      same("written again", Value.parse(text).value.toString(), text);
    }
  }

  const v = Value.parse("{\"n\":3,\"t\":\"x\",\"l\":[1.5,2.5],\"b\":true,\"a\":1,\"a\":2}").value;
  same("n", v.get("n").num().toString() + v.get("t").num(7).toString() + v.get("a").num().toString(), "3.07.02.0");
  same("l", v.get("l").at(1).toString() + v.get("l").at(9).toString() + v.get("l").length.toString(), "2.5null2");
  same("b", v.get("b").flag().toString() + v.get("gone").get("deeper").flag(true).toString(), "truetrue");
  same("set", Value.object().set("a", 1).set("a", "two").set("b", NaN).toString(), "{\"a\":\"two\",\"b\":null}");
  same("keys", v.keys().join(""), "ntlbaa");
}

function testAnswers(): void {
  same("true", Answer.of(true).toString(), "{\"outcome\":\"pass\"}");
  same("false", Answer.of(false).toString(), "{\"outcome\":\"fail\",\"summary\":\"it does not hold\",\"error\":\"it does not hold\"}");
  same("7", Answer.of(7).toString(), "{\"outcome\":\"pass\",\"summary\":\"7\",\"samples\":{\"value\":7}}");
  same("2.5", Answer.of(2.5).toString(), "{\"outcome\":\"pass\",\"summary\":\"2.5\",\"samples\":{\"value\":2.5}}");
  same("text", Answer.of("well").toString(), "{\"outcome\":\"pass\",\"summary\":\"well\"}");
  same("object", Answer.of(Value.object().set("n", 1)).toString(), "{\"outcome\":\"pass\",\"samples\":{\"n\":1}}");
  same("list", Answer.of(Value.list()).toString(), "{\"outcome\":\"error\",\"error\":\"the collector answered []; an object of samples is expected\"}");
  same("denied", Answer.of(new Problem("denied", "no")).toString(), "{\"outcome\":\"error\",\"error\":\"no (denied)\"}");
  const codes = ["denied", "invalid", "quota", "too_large", "not_found", "storage", "timeout", "dns", "connect", "tls", "redirects", "protocol", ""];
  for (let i = 0; i < codes.length; i++) same(codes[i], new Problem(codes[i], "").ours.toString(), (i < 6).toString());
  same("warn", Answer.warn("hot").num("t", 9).flag("f", true).text("s", "x").detail(Value.of("d")).toString(),
    "{\"outcome\":\"warn\",\"summary\":\"hot\",\"error\":\"hot\",\"samples\":{\"t\":9,\"f\":true,\"s\":\"x\"},\"detail\":\"d\"}");
}

function testCalls(run: Run): void {
  same("a page", run.fetchJson(run.text("url") + "/page").value.toString(), "{\"n\":3}");
  const broken = run.fetchJson(run.text("url") + "/broken");
  same("a broken page", broken.answer().toString().replace(run.text("url"), "URL"), "{\"outcome\":\"fail\",\"summary\":\"URL/broken answered 502\",\"error\":\"" + run.text("url") + "/broken answered 502\"}");
  same("not granted", run.http(new HttpRequest("https://192.0.2.1:1/")).problem!.code, "denied");
  const echo = run.http(new HttpRequest(run.text("url") + "/echo", "POST").header("X-A", "b").body("é\0").timeoutMs(5000).noRedirect());
  same("an echo", echo.status.toString() + " " + echo.header("x-a") + " " + echo.body, "200 b POST é\0");
  same("nothing kept", run.kept("k").value.toString(), "null");
  same("keep", run.keep("k", "v").failed.toString(), "false");
  same("kept", run.kept("k").value.toString(), "\"v\"");
  same("forget", run.forget("k").failed.toString() + run.kept("k").value.toString(), "falsenull");
  same("tls_info", run.tlsInfo("192.0.2.1:1").problem!.code, "denied");
  same("dns", run.dns("other.example", "A").problem!.code, "denied");
  same("dial", run.dial("192.0.2.1:1").problem!.code, "denied");
  same("send", run.send(Value.of(9), "x").failed.toString(), "true");
  same("receive", run.receive(Value.of(9), "\n", 9).failed.toString(), "true");
  same("close", run.close(Value.of(9)).failed.toString(), "true");
  same("secret", run.secret("s").problem!.code, "denied");
  same("reveal", run.reveal("s").problem!.code, "denied");
  const b = new Uint8Array(16);
  run.random(b);
  let sum = 0;
  for (let i = 0; i < 16; i++) sum += b[i];
  if (sum == 0) failures.push("16 random bytes are all 0");
  if (run.now() < 1.7e12) failures.push("now is " + run.now().toString());
  same("system", run.system + " " + run.tag("none"), "web ");
}

register(
  new Manifest("suite", "1.0.0")
    .doc("Tests the package.").author("Tocsin")
    .field(Field.text("url", "where the test is").format("uri"))
    .field(Field.text("mode").oneOf(["test", "throw", "wrong"]).byDefault("test"))
    .field(Field.num("max").byDefault(2.5).min(0).max(9))
    .field(Field.flag("on").byDefault(true))
    .field(Field.list("names", Field.text("")).optional())
    .sample("failures", Type.Integer, "", "tests that failed")
    .actionField(Field.text("room")).output("id", Type.Text)
    .fn("half_of", ["x", Type.Number], Type.Number, "Half of it.")
    .http("http://*:*").privateHosts().keeps().limit("fuel", 2e9),
  (run: Run): Answer => {
    if (run.text("mode") == "throw") throw new Error("on purpose");
    if (run.text("mode") == "wrong") return Answer.of(run.num("none"));
    run.log(Level.Info, "testing");
    same("defaults", run.num("max").toString() + run.flag("on").toString() + run.config("names").toString(), "2.5truenull");
    testJSON();
    testAnswers();
    testCalls(run);
    for (let i = 0; i < failures.length; i++) run.log(Level.Error, failures[i]);
    const out = failures.length > 0 ? Answer.fail(failures[0]) : Answer.pass("all of it");
    return out.num("failures", failures.length);
  },
);

registerAction((run: Run): Answer => {
  if (run.text("room") == "full") return Answer.again("full", 2000);
  return Answer.pass("told").output("id", Value.of(run.key));
});

export function tocsin_fn_half_of(): i32 {
  return answerCall((args: Value): Value => Value.of(args.at(0).num() / 2));
}
