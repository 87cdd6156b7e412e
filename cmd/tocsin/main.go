// Command tocsin knows when systems are in trouble and acts on it: one binary
// that runs checks and Wasm collectors, decides health, runs rules and shows it
// all live.
//
// It exits with 0 when all went well, 1 when something was refused or failed,
// and 2 when the command line was wrong.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/tocsin-io/tocsin/core"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	code := run(ctx, os.Args[1:], streams{os.Stdin, os.Stdout, os.Stderr})
	stop()
	os.Exit(code)
}

// streams are where a command reads and writes.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// Exit codes, as the package documentation says.
const (
	exitGood    = 0
	exitRefused = 1
	exitUsage   = 2
)

// usageError is a mistake in the command line.
type usageError struct{ error }

// run is the whole program but for the process around it.
func run(ctx context.Context, args []string, s streams) int {
	root := newRoot(s) //nolint:contextcheck // commands are given it when they run
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitGood
	}
	if usage, ok := errors.AsType[usageError](err); ok {
		fmt.Fprintf(s.err, "tocsin: %v\nRun 'tocsin --help' for usage.\n", usage.error)
		return exitUsage
	}
	if problems, ok := errors.AsType[core.Problems](err); ok {
		fmt.Fprintln(s.err, problems.Error())
		return exitRefused
	}
	fmt.Fprintf(s.err, "tocsin: %v\n", err)
	return exitRefused
}

func newRoot(s streams) *cobra.Command {
	root := &cobra.Command{
		Use:           "tocsin",
		Short:         "Know when your systems are in trouble, and act on it",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetIn(s.in)
	root.SetOut(s.out)
	root.SetErr(s.err)
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(
		newServe(s), newApply(s), newGet(s), newDelete(s), newReplay(s), newReplayRun(s), newRule(s), newSilence(s), newEpisode(s), newChannel(s), newModule(s),
		newSecret(s), newNodes(s), newLoginLink(s), newBackup(s), newRestore(s), newExport(s), newImport(s), newMigrate(s),
		newBench(s), newCompile(s), newTarget(s), newVersion(s),
	)
	usage(root)
	return root
}

// usage makes mistakes in flags and arguments a usageError, for cmd and all
// below it.
func usage(cmd *cobra.Command) {
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	if args := cmd.Args; args != nil {
		cmd.Args = func(cmd *cobra.Command, list []string) error {
			if err := args(cmd, list); err != nil {
				return usageError{misuse(cmd, err)}
			}
			return nil
		}
	}
	for _, sub := range cmd.Commands() {
		usage(sub)
	}
}

// misuse says which command was given the wrong arguments.
func misuse(cmd *cobra.Command, err error) error {
	if path, below := strings.CutPrefix(cmd.CommandPath(), "tocsin "); below {
		return fmt.Errorf("%s: %w", path, err)
	}
	return err
}
