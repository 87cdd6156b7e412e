package core

import (
	"fmt"
	"strings"
)

// Problem is one thing that is wrong with what somebody wrote: what, where and
// how to mend it.
type Problem struct { //nolint:errname // it is part of answers first, and an error only besides
	Path    string `json:"path,omitempty" doc:"where in the object, for example spec.collect[0].assert[1]"`
	Object  string `json:"object,omitempty" doc:"kind:id of the object it is in, when several are looked at together"`
	File    string `json:"file,omitempty"`
	Line    int    `json:"line,omitempty" doc:"in the file, from 1"`
	Column  int    `json:"column,omitempty" doc:"from 1, in characters"`
	Code    string `json:"code" doc:"stable, for programs"`
	Message string `json:"message"`
	Fix     string `json:"fix,omitempty" doc:"how to mend it"`
	From    int    `json:"from,omitempty" doc:"of an expression: first byte"`
	To      int    `json:"to,omitempty" doc:"of an expression: byte after the last"`
	Snippet string `json:"snippet,omitempty" doc:"the source line and a caret below it"`
}

// Error is p for people, on one line but for the snippet.
func (p Problem) Error() string {
	var b strings.Builder
	switch {
	case p.File != "":
		b.WriteString(p.File + ":")
	case p.Object != "":
		b.WriteString(strings.Replace(p.Object, ":", " ", 1) + ": ")
	}
	if p.Line > 0 {
		fmt.Fprintf(&b, "%d:%d: ", p.Line, p.Column)
	} else if p.File != "" {
		b.WriteString(" ")
	}
	if p.Path != "" {
		b.WriteString(p.Path + ": ")
	}
	b.WriteString(p.Message)
	if p.Fix != "" {
		b.WriteString("; " + p.Fix)
	}
	if p.Snippet != "" {
		b.WriteString("\n" + p.Snippet)
	}
	return b.String()
}

// Problems is everything that is wrong with one or more objects. It is an
// error when it is not empty.
type Problems []Problem //nolint:errname // as Problem

// Error joins the problems, one after another on lines of their own.
func (ps Problems) Error() string {
	texts := make([]string, len(ps))
	for i, p := range ps {
		texts[i] = p.Error()
	}
	return strings.Join(texts, "\n")
}

// Err is ps as an error, nil when there is none.
func (ps Problems) Err() error {
	if len(ps) == 0 {
		return nil
	}
	return ps
}

// Under puts path in front of the path of each problem.
func (ps Problems) Under(path string) Problems {
	for i := range ps {
		switch {
		case ps[i].Path == "":
			ps[i].Path = path
		case strings.HasPrefix(ps[i].Path, "["):
			ps[i].Path = path + ps[i].Path
		default:
			ps[i].Path = path + "." + ps[i].Path
		}
	}
	return ps
}

// In says which object each problem is in, unless it says so already.
func (ps Problems) In(kind, id string) Problems {
	for i := range ps {
		if ps[i].Object == "" {
			ps[i].Object = kind + ":" + id
		}
	}
	return ps
}
