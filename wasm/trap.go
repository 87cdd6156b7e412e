package wasm

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/tocsin-io/tocsin/wasm/meter"
)

// hints say what usually lies behind a trap, by a part of the runtime's text.
func hint(text string) (sentence, advice string) {
	for _, h := range [...][3]string{
		{"unreachable", "it aborted", "a panic or a failed assertion; its log may say more"},
		{"integer divide by zero", "it divided by zero", "check the divisor"},
		{"integer overflow", "an integer overflowed", "check the range of the division or conversion"},
		{"invalid conversion to integer", "it converted a number that no integer can hold", "check for NaN and range"},
		{"out of bounds memory access", "it accessed memory that it does not have", "an index or a pointer is wrong"},
		{"stack overflow", "its calls nest too deep", "a recursion that does not end?"},
		{"invalid table access", "it called a function that does not exist", "a function pointer is wrong"},
		{"indirect call type mismatch", "it called a function with the wrong type", "a function pointer is wrong"},
		{"null reference", "it used a null reference", "check it before use"},
	} {
		if strings.Contains(text, h[0]) {
			return h[1], h[2]
		}
	}
	return "", ""
}

// trace names the innermost functions of a trap.
func trace(text string) string {
	_, stack, ok := strings.Cut(text, "wasm stack trace:")
	if !ok {
		return ""
	}
	var names []string
	for line := range strings.SplitSeq(stack, "\n") {
		line = strings.TrimPrefix(strings.TrimSpace(line), ".")
		name, _, called := strings.Cut(line, "(")
		if !called || name == "" || strings.ContainsAny(name, " /") {
			continue
		}
		if i, err := strconv.Atoi(strings.TrimPrefix(name, "$")); err == nil {
			name = fmt.Sprintf("function %d", i-1) // without the import that was added
		}
		names = append(names, clean(name, 80, false))
		if len(names) == 4 {
			break
		}
	}
	if len(names) == 0 {
		return ""
	}
	return " in " + strings.Join(names, ", called by ")
}

// diagnose makes a sentence of what ended a guest. Text of the runtime never
// passes as it is: it can hold paths of this machine.
func (r *run) diagnose(err error) *stop {
	out, ok := errors.AsType[*stop](err)
	if !ok {
		head, _, _ := strings.Cut(err.Error(), "\n")
		sentence, advice := hint(head)
		switch {
		case sentence != "":
			out = &stop{"trap", fmt.Sprintf("%s%s (%s)", sentence, trace(err.Error()), advice)}
		default:
			out = &stop{"fault", "a fault of the sandbox ended it" + trace(err.Error())}
		}
	}
	out = &stop{out.code, out.text}
	if out.code == "exit" || out.code == "trap" {
		said := r.lastWords()
		if said == "" && r.command {
			said = r.lastLine()
		}
		if said != "" {
			out.text += ": " + said
		}
	}
	if out.code == "exit" || out.code == "trap" || out.code == "script" {
		switch {
		case r.refused:
			out.code = "limit_memory"
			out.text += "; it asked for more memory than its limit of " + size(r.limits.Memory)
		case r.narrow:
			out.code = "limit_table"
			out.text += fmt.Sprintf("; it asked for more elements of a table than its limit of %d", meter.DefaultLimits().TableElements)
		}
	}
	return out
}

// lastWords is what the guest logged of its own end.
func (r *run) lastWords() string {
	for _, l := range r.logs {
		if strings.HasPrefix(l.Text, "panic: ") || strings.HasPrefix(l.Text, "fatal error: ") || strings.HasPrefix(l.Text, "thread '") {
			return clean(l.Text, 300, false)
		}
	}
	return ""
}
