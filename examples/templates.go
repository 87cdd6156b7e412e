package examples

import (
	"embed"
	"fmt"
	"path"
	"strings"
)

//go:embed rules/*.txtar
var ruleFiles embed.FS

// RuleTemplates are rules to begin from, by name: each is a story that shows it
// fire and not fire, for rules.ReadStory.
func RuleTemplates() (map[string][]byte, error) {
	entries, err := ruleFiles.ReadDir("rules")
	if err != nil {
		return nil, fmt.Errorf("list the templates of rules: %w", err)
	}
	out := make(map[string][]byte, len(entries))
	for _, e := range entries {
		text, err := ruleFiles.ReadFile(path.Join("rules", e.Name()))
		if err != nil {
			return nil, fmt.Errorf("read the template %s: %w", e.Name(), err)
		}
		out[strings.TrimSuffix(e.Name(), ".txtar")] = text
	}
	return out, nil
}
