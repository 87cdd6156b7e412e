package rules_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-io/tocsin/rules"
)

var update = flag.Bool("update", false, "rewrite the expected parts of the stories")

// day is when stories happen; their lines tell the time of day.
var day = time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)

// TestStories plays each testdata/stories/*.txtar, as `tocsin rule test` does.
func TestStories(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/stories/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("find stories: %v, %d files", err, len(files))
	}
	c := compiler(t)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			story, err := rules.ReadStory(file, text, os.ReadFile)
			if err != nil {
				t.Fatal(err)
			}
			got, err := story.Play(c)
			if err != nil {
				t.Fatal(err)
			}
			if *update {
				if err := os.WriteFile(file, story.Rewrite(got), 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			if d := story.Diff(got); d != "" {
				t.Error(d)
			}
		})
	}
}
