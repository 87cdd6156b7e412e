package core

import (
	"maps"
	"slices"
	"strings"
)

// Why is the reason for a decision: a code for programs and for translation,
// arguments, and the English sentence that operators read.
type Why struct {
	Code string            `json:"code"`
	Args map[string]string `json:"args,omitempty"`
	Text string            `json:"text"`
}

// String is the English sentence.
func (w Why) String() string { return w.Text }

// IsZero reports whether w says nothing.
func (w Why) IsZero() bool { return w.Code == "" && w.Text == "" }

// Because makes a Why from a sentence with {name} holes, filled from pairs of
// name and value.
func Because(code, sentence string, pairs ...string) Why {
	w := Why{Code: code, Text: sentence}
	if len(pairs) < 2 {
		return w
	}
	w.Args = make(map[string]string, len(pairs)/2)
	replace := make([]string, 0, len(pairs))
	for pair := range slices.Chunk(pairs, 2) {
		if len(pair) == 2 {
			w.Args[pair[0]] = pair[1]
			replace = append(replace, "{"+pair[0]+"}", pair[1])
		}
	}
	w.Text = strings.NewReplacer(replace...).Replace(sentence)
	return w
}

// Equal reports whether w and v say the same.
func (w Why) Equal(v Why) bool {
	return w.Code == v.Code && w.Text == v.Text && maps.Equal(w.Args, v.Args)
}
