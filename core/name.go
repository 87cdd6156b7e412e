package core

import (
	"fmt"
	"strings"
)

// MaxName is the longest name of a System, Check, Rule or Module, in bytes.
const MaxName = 128

// CheckName reports why name cannot be the name of a System, Check, Rule,
// Module or Group, or nil. A name is 1 to [MaxName] letters, digits, '.', '_'
// and '-', beginning and ending with a letter or digit. It is the identity of
// the thing: it appears in URLs and never changes; a title is for people.
func CheckName(name string) error {
	if name == "" {
		return fmt.Errorf("a name is missing")
	}
	if len(name) > MaxName {
		return fmt.Errorf("the name %.20q... has %d bytes, the most is %d", name, len(name), MaxName)
	}
	for i, c := range name {
		alnum := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if alnum {
			continue
		}
		if c != '.' && c != '_' && c != '-' {
			return fmt.Errorf("the name %q may hold letters, digits, '.', '_' and '-' only, not %q", name, c)
		}
		if i == 0 || i == len(name)-1 {
			return fmt.Errorf("the name %q must begin and end with a letter or a digit", name)
		}
	}
	return nil
}

// AssignmentID is the identity of the Assignment of check to system:
// "system:check". Neither part can hold a colon, see [CheckName].
func AssignmentID(system, check string) string { return system + ":" + check }

// SplitAssignmentID undoes [AssignmentID]. The check is empty when id is not
// the identity of an Assignment.
func SplitAssignmentID(id string) (system, check string) {
	system, check, _ = strings.Cut(id, ":")
	return system, check
}
