package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/tocsin-io/tocsin/rules"
)

func newRuleTest(s streams) *cobra.Command {
	var update bool
	cmd := &cobra.Command{
		Use:   "test STORY...",
		Short: "Play stories through rules, and compare with what they expect",
		Long: `Plays each story, a txtar file with rules, a script of what happens and the decisions
that are expected, through the code that runs live, without a server. Prints what
differs and exits with 1 when anything does. With --update it writes what came of
each story into it instead. A name may be a pattern such as 'stories/*.txtar'.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			files, err := storyFiles(args)
			if err != nil {
				return err
			}
			compiler, err := rules.NewCompiler(nil)
			if err != nil {
				return err
			}
			return tellStories(s, compiler.Lenient(), files, update)
		},
	}
	cmd.Flags().BoolVar(&update, "update", false, "write what came of each story into it")
	return cmd
}

func tellStories(s streams, c *rules.Compiler, files []string, update bool) error {
	bad := 0
	for _, file := range files {
		text, err := os.ReadFile(file) //nolint:gosec // the file that the user named
		if err != nil {
			return err
		}
		report, err := tellStory(c, file, text, update)
		if err != nil {
			report = fmt.Sprintf("FAIL %s\n", err)
		}
		if err != nil || report != "" && !update {
			bad++
		}
		if report == "" {
			report = fmt.Sprintf("ok   %s\n", file)
		}
		if _, err := io.WriteString(s.out, report); err != nil {
			return err
		}
	}
	if bad > 0 {
		return fmt.Errorf("%d of %d stories failed", bad, len(files))
	}
	return nil
}

// storyFiles are the files that names and patterns mean.
func storyFiles(args []string) ([]string, error) {
	var files []string
	for _, arg := range args {
		found, err := filepath.Glob(arg)
		if err != nil {
			return nil, usageError{fmt.Errorf("%q is not a pattern of file names: %w", arg, err)}
		}
		if len(found) == 0 {
			return nil, usageError{fmt.Errorf("there is no story %s", arg)}
		}
		files = append(files, found...)
	}
	slices.Sort(files)
	return slices.Compact(files), nil
}

// tellStory plays one story. It returns what is to be printed: empty when it is
// as expected.
func tellStory(c *rules.Compiler, file string, text []byte, update bool) (string, error) {
	story, err := rules.ReadStory(file, text, os.ReadFile)
	if err != nil {
		return "", err
	}
	got, err := story.Play(c)
	if err != nil {
		return "", err
	}
	differs := story.Diff(got)
	switch {
	case differs == "":
		return "", nil
	case update:
		if err := os.WriteFile(file, story.Rewrite(got), 0o600); err != nil { //nolint:gosec // the file that the user named
			return "", fmt.Errorf("write what came of the story: %w", err)
		}
		return fmt.Sprintf("new  %s\n", file), nil
	case story.Want() == "":
		return "", errors.New(file + ": nothing is expected yet; with --update what came of it is written into it:\n" + got)
	}
	return fmt.Sprintf("FAIL %s\n%s", file, differs), nil
}
