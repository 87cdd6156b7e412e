// Command score is a module that adds a function to expressions: score(errors,
// latency) makes one number of two, from 100 for well to 0. It is a plain
// program: it is asked on standard input and answers on standard output.
//
//	GOOS=wasip1 GOARCH=wasm go build -o score.wasm .
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
)

const manifest = `{
  "abi": "tocsin/1", "name": "score", "version": "1.0.0", "doc": "How well a service does, as one number.",
  "offers": ["function"],
  "functions": [{
    "name": "score", "doc": "100 is well, 0 is not: a percent of errors costs 10, a second 20.",
    "params": [{"name": "errors", "type": "number"}, {"name": "latency", "type": "duration"}], "returns": "number"
  }],
  "wants": {}
}`

// request is what of a request matters here.
type request struct {
	Kind string            `json:"kind"`
	Args []json.RawMessage `json:"args"`
}

func main() {
	if err := answer(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func answer(in io.Reader, out io.Writer) error {
	var q request
	if err := json.NewDecoder(in).Decode(&q); err != nil {
		return fmt.Errorf("read the request: %w", err)
	}
	if q.Kind == "describe" {
		_, err := io.WriteString(out, manifest)
		return err
	}
	var errors, seconds float64
	for i, into := range []*float64{&errors, &seconds} { // a duration is a number of seconds
		if err := json.Unmarshal(q.Args[i], into); err != nil {
			return fmt.Errorf("read argument %d: %w", i+1, err)
		}
	}
	if errors < 0 || errors > 100 {
		return json.NewEncoder(out).Encode(map[string]string{"error": fmt.Sprintf("%g is not a percentage", errors)})
	}
	return json.NewEncoder(out).Encode(map[string]float64{"value": max(0, 100-10*errors-20*seconds)})
}
