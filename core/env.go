package core

// ExprEnv describes a typed environment of expressions, for completion and
// help in editors.
type ExprEnv struct {
	Version string              `json:"version"`
	Vars    map[string]ExprVar  `json:"vars"`
	Funcs   map[string]ExprFunc `json:"funcs"`
	Enums   map[string][]string `json:"enums" doc:"by dotted path of a variable: the values it can have"`
}

// ExprVar is one variable or field.
type ExprVar struct {
	Kind    string             `json:"kind" doc:"bool, int, float, string, duration, time, map, array, struct, any"`
	Doc     string             `json:"doc,omitempty"`
	Unit    string             `json:"unit,omitempty"`
	Example string             `json:"example,omitempty"`
	Fields  map[string]ExprVar `json:"fields,omitempty" doc:"of a struct"`
	Elem    *ExprVar           `json:"elem,omitempty" doc:"of an array or a map"`
	Keys    []string           `json:"keys,omitempty" doc:"of a map: keys in use"`
}

// ExprFunc is one function.
type ExprFunc struct {
	Args    []string `json:"args" doc:"name: kind"`
	Returns string   `json:"returns"`
	Doc     string   `json:"doc,omitempty"`
	Example string   `json:"example,omitempty"`
}
