import { input, output } from "./host";
import { Value } from "./json";
import { registry } from "./registry";
import { Run } from "./run";

export function tocsin_abi_v1(): i32 { return 1; }

export function tocsin_describe(): i32 {
  const manifest = registry.manifest;
  if (!manifest) {
    output("the module registered nothing: call register at the top of its file");
    return 1;
  }
  output(manifest.toJSON(registry.collect !== null, registry.act !== null));
  return 0;
}

function asked(): Value {
  const q = Value.parse(input());
  if (q.error != "") throw new Error("request: " + q.error);
  return q.value;
}

export function tocsin_collect(): i32 {
  const collect = registry.collect;
  if (!collect) throw new Error("the module offers no collector");
  output(collect(new Run(asked(), registry.manifest!.fields)).toString());
  return 0;
}

export function tocsin_act(): i32 {
  const act = registry.act;
  if (!act) throw new Error("the module offers no action");
  output(act(new Run(asked(), registry.manifest!.actionFields)).toString());
  return 0;
}
