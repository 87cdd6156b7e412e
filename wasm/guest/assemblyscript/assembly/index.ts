export { Answer, Problem } from "./answer";
export { Level } from "./host";
export { Kind, Parsed, Value } from "./json";
export { Field, Manifest, Type } from "./manifest";
export { HttpRequest, HttpResponse, Result, Run } from "./run";
export { register, registerAction } from "./registry";
export { answerCall } from "./call";
