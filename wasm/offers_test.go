package wasm_test

import (
	"strings"
	"testing"

	"github.com/tocsin-io/tocsin/wasm"
)

// What a manifest says is held to what can be meant.
func TestManifest(t *testing.T) {
	many := strings.Repeat(`{"name":"f","returns":"any"},`, 51)
	for document, want := range map[string]string{
		`"offers":["collector"]`: "",
		`"offers":["collector"],"samples":[{"name":"n","type":"number","kind":"counter"}]`: "",
		`"offers":["action"]`: "",
		`"offers":["action","function"],"action":{"outputs":[{"name":"id","type":"string"}]},"functions":[{"name":"score","params":[{"name":"a","type":"list"}],"returns":"map"}]`: "",
		`"offers":[]`:                        "its manifest offers nothing; offers must hold collector, action, function",
		`"offers":["colector"]`:              `its manifest offers "colector"; there are collector, action, function`,
		`"offers":["action","action"]`:       `its manifest offers "action" twice`,
		`"offers":["collector"],"action":{}`: "its manifest describes an action and does not offer one: add action to offers",
		`"offers":["collector"],"functions":[{"name":"f","returns":"any"}]`: "add function to offers",
		`"offers":["function"]`:                                                                                                           "it offers functions and describes none: list them under functions",
		`"offers":["action"],"config_schema":{"type":"object"}`:                                                                           "write the schema of an action as action.config_schema",
		`"offers":["action"],"samples":[{"name":"n","type":"number"}]`:                                                                    "write what an action answers as action.outputs",
		`"offers":["action"],"action":{"config_schema":[]}`:                                                                               "its action.config_schema is not a JSON object",
		`"offers":["action"],"action":{"config_schema":{"type":"array"}}`:                                                                 "its action.config_schema is of type array; a configuration is an object",
		`"offers":["action"],"action":{"outputs":[{"name":"Id","type":"string"}]}`:                                                        `it declares the output "Id"; a name is lower-case`,
		`"offers":["collector"],"samples":[{"name":"n","type":"float"}]`:                                                                  `it declares the sample n of type "float"; types are number, integer`,
		`"offers":["collector"],"samples":[{"name":"n","type":"list"}]`:                                                                   `it declares the sample n of type "list"; types are`,
		`"offers":["collector"],"samples":[{"name":"n","type":"number","kind":"histogram"}]`:                                              `it declares the sample n of kind "histogram"; kinds are gauge, counter, enum`,
		`"offers":["collector"],"samples":[{"name":"n","type":"string","kind":"counter"}]`:                                                "it declares the sample n of type string as a counter; only numbers",
		`"offers":["collector"],"samples":[{"name":"system","type":"string"}]`:                                                            "it declares the sample system, a name that expressions have for something else",
		`"offers":["collector"],"samples":[{"name":"in","type":"string"}]`:                                                                "it declares the sample in, a name",
		`"offers":["function"],"functions":[{"name":"f"}]`:                                                                                "its function f does not say what it returns",
		`"offers":["function"],"functions":[{"name":"F","returns":"any"}]`:                                                                `it declares the function "F"`,
		`"offers":["function"],"functions":[{"name":"not","returns":"any"}]`:                                                              "is no word of expressions",
		`"offers":["function"],"functions":[{"name":"f","returns":"text"}]`:                                                               `it declares the result of function f of type "text"; types are number, integer, string, bool, duration, time, map, any, list`,
		`"offers":["function"],"functions":[{"name":"f","params":[{"name":"a","type":"x"}],"returns":"any"}]`:                             `it declares the parameter f.a of type "x"`,
		`"offers":["function"],"functions":[{"name":"f","params":[{"name":"a","type":"any"},{"name":"a","type":"any"}],"returns":"any"}]`: `its function f has the parameter "a"; a name is`,
		`"offers":["function"],"functions":[{"name":"f","returns":"any"},{"name":"f","returns":"any"}]`:                                   "it declares the function f twice",
		`"offers":["function"],"functions":[` + strings.TrimSuffix(many, ",") + `]`:                                                       "it declares 51 functions, the limit is 50",
		`"offers":["collector"],"doc":"` + strings.Repeat("x", 300<<10) + `"`:                                                             "the limit is 256 KiB",
	} {
		_, err := wasm.ReadManifest([]byte(`{"abi":"tocsin/1","name":"m","version":"1","wants":{},` + document + `}`))
		if (err != nil) != (want != "") || want != "" && !strings.Contains(err.Error(), want) {
			t.Errorf("ReadManifest of %.200s: %v, want %q", document, err, want)
		}
	}
}
