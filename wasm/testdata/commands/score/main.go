// A module in plain Go that offers everything: it describes itself when it is
// asked to.
package main

import (
	"encoding/json"
	"fmt"
	"os"
)

type object = map[string]any

func main() {
	var q struct {
		Kind     string
		Config   struct{ Weight float64 }
		Function string
		Args     []any
		Step     struct {
			Key     string
			Attempt int
		}
		System struct{ ID string }
	}
	if err := json.NewDecoder(os.Stdin).Decode(&q); err != nil {
		panic(err)
	}
	fmt.Fprintln(os.Stderr, "asked to", q.Kind)
	var answer object
	switch q.Kind {
	case "describe":
		answer = object{
			"abi": "tocsin/1", "name": "score", "version": "1.0.0", "offers": []string{"collector", "action", "function"},
			"samples":   []object{{"name": "weight", "type": "number"}},
			"action":    object{"config_schema": object{"type": "object"}, "outputs": []object{{"name": "key", "type": "string"}, {"name": "attempt", "type": "integer"}}},
			"functions": []object{{"name": "double", "params": []object{{"name": "n", "type": "number"}}, "returns": "number"}},
			"wants":     object{"limits": object{"memory_bytes": 32 << 20}},
		}
	case "collect":
		answer = object{"outcome": "pass", "summary": q.System.ID, "samples": object{"weight": q.Config.Weight}}
	case "act":
		answer = object{"outcome": "pass", "output": object{"key": q.Step.Key, "attempt": q.Step.Attempt}}
	case "call":
		answer = object{"value": 2 * q.Args[0].(float64)}
	}
	if err := json.NewEncoder(os.Stdout).Encode(answer); err != nil {
		panic(err)
	}
}
