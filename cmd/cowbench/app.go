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
	"github.com/spf13/cobra/doc"
)

// version is set by the build.
var version = "unreleased"

const (
	exitFailure = 1
	exitUsage   = 2
)

// usageError is one that the command line has in it.
type usageError struct{ error }

func (u usageError) Unwrap() error { return u.error }

func usage(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// run is the program. Its result is the exit code.
func run(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	a := &app{args: args, stdout: stdout, stderr: stderr}
	root := a.command()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		err = errors.New("interrupted by a signal; all that the run made has been taken away")
	}
	fmt.Fprintf(stderr, "cowbench: %s\n", strings.ReplaceAll(err.Error(), "\n", "; "))
	if _, ok := errors.AsType[usageError](err); ok {
		return exitUsage
	}
	return exitFailure
}

// app is one invocation.
type app struct {
	args           []string
	stdout, stderr io.Writer
}

const about = `cowbench measures copy-on-write on this machine: thin block snapshots (Veneer),
overlayfs, btrfs, reflinks, full copies and more, on fresh stores of one kind and
size, in turn, with the bytes that the block layer counted. It says who is best
only when the samples allow it.

  cowbench run --quick                 a few minutes, a table
  cowbench run --full --json r.json    unattended, every backend and size
  cowbench report r.json > r.html      one page that needs nothing but itself
  cowbench compare old.json new.json   what has changed, and what only seems so

Exit codes: 0 success, 1 failure or a backend that showed wrong content, 2 wrong
usage.`

func (a *app) command() *cobra.Command {
	root := &cobra.Command{
		Use: "cowbench", Short: "Measure ways to copy on write, side by side", Long: about,
		Version: version, SilenceErrors: true, SilenceUsage: true, Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, given []string) error {
			if len(given) == 0 {
				return c.Help()
			}
			return usage("cowbench has no command %q; see \"cowbench --help\"", given[0])
		},
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usage("%w; see \"%s --help\"", err, c.CommandPath())
	})
	root.AddCommand(a.runCommand(), a.listCommand(), a.explainCommand(), a.compareCommand(), a.reportCommand(), a.cleanCommand(), a.manCommand())
	return root
}

// args checks positional arguments and says what is missing in words.
func args(least, most int, names string) cobra.PositionalArgs {
	return func(c *cobra.Command, given []string) error {
		if len(given) < least || len(given) > most {
			return usage("%s takes %s; see \"%s --help\"", c.CommandPath(), names, c.CommandPath())
		}
		return nil
	}
}

func (a *app) manCommand() *cobra.Command {
	return &cobra.Command{
		Use: "man FOLDER", Short: "Write the manual pages into a folder", Hidden: true, Args: args(1, 1, "a folder"),
		RunE: func(c *cobra.Command, given []string) error {
			if err := os.MkdirAll(given[0], 0o755); err != nil {
				return err
			}
			return doc.GenManTree(c.Root(), &doc.GenManHeader{Title: "COWBENCH", Section: "1", Source: "Veneer " + version}, given[0])
		},
	}
}
