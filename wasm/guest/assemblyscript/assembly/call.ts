import { input, output } from "./host";
import { Value } from "./json";

/**
 * Answers a call of a function of expressions. The module exports one function
 * for each that its manifest declares:
 *
 *   export function tocsin_fn_half(): i32 {
 *     return answerCall((args: Value): Value => Value.of(args.at(0).num() / 2));
 *   }
 *
 * A thrown error is why there is no value.
 */
export function answerCall(call: (args: Value) => Value): i32 {
  const q = Value.parse(input());
  if (q.error != "") throw new Error("request: " + q.error);
  output(Value.object().set("value", call(q.value.get("args"))).toString());
  return 0;
}
