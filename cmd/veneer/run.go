package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// version is set by the build.
var version = "unreleased"

// run is the program. Its result is the exit code.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	if len(args) > 0 && args[0] == initVerb {
		return runInit(args[1:], stderr)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	a := &app{stdin: stdin, stdout: stdout, stderr: stderr, log: logrus.New()}
	a.log.SetOutput(stderr)
	a.log.SetLevel(logrus.WarnLevel)
	root := a.command()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		err = exitCode{exitFailure, errors.New("interrupted by a signal; nothing is left half done, run the command again to go on")}
	}
	var code exitCode
	if err == nil || errors.As(err, &code) && code.err == nil {
		return code.code
	}
	fmt.Fprintf(stderr, "veneer: %v\n", sentence(err))
	return exitOf(err)
}

// app is one invocation: its streams, its flags and what they say.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	log            *logrus.Logger

	root, address, configPath, format, logLevel, progress string
	quiet                                                 bool
	config                                                config
}

const about = `Veneer keeps container images and containers as thin block snapshots on the
Linux device-mapper: each image layer is a block snapshot of the layer below,
each container a writable one.

Exit codes: 0 success, 1 failure, 2 wrong usage, 3 not found, 4 in use or exists
already, 5 the pool is out of space or needs attention.`

func (a *app) command() *cobra.Command {
	root := &cobra.Command{
		Use: "veneer", Short: "Container images and containers as thin block snapshots", Long: about,
		Version: version, SilenceErrors: true, SilenceUsage: true, Args: cobra.ArbitraryArgs, RunE: onlyCommands,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return a.configure(cmd) },
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		if value, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
			err = fmt.Errorf("--%s: %w", value.GetFlag().Name, value.Unwrap())
		}
		return usage("%w; see \"%s --help\"", err, c.CommandPath())
	})
	f := root.PersistentFlags()
	f.StringVar(&a.root, "root", defaultRoot, "folder of the store")
	f.StringVar(&a.address, "address", defaultAddress, "socket of the daemon, which is asked when it has the store")
	f.StringVar(&a.configPath, "config", defaultConfig, "configuration file")
	f.StringVar(&a.format, "format", "table", "how to print: table, json or a Go template")
	f.BoolVarP(&a.quiet, "quiet", "q", false, "print names only")
	f.StringVar(&a.logLevel, "log-level", "warn", "error, warn, info or debug")
	f.StringVar(&a.progress, "progress", "auto", "auto, tty, plain or none")
	root.AddCommand(a.poolCommand(), a.imageCommand(), a.containerCommand(), a.snapshotCommand(), a.backupCommand(), a.restoreCommand(), a.infoCommand(), a.doctorCommand(), a.serveCommand(), a.configCommand(), a.manCommand())
	return root
}

// args checks positional arguments and says what is missing in words.
func args(least, most int, names string) cobra.PositionalArgs {
	return func(c *cobra.Command, given []string) error {
		if len(given) < least || most >= 0 && len(given) > most {
			return usage("%s takes %s; see \"%s --help\"", c.CommandPath(), names, c.CommandPath())
		}
		return nil
	}
}

// group is a command that only has commands below it.
func group(use, short string, sub ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Args: cobra.ArbitraryArgs, RunE: onlyCommands}
	c.AddCommand(sub...)
	return c
}

// onlyCommands is what a command does that only has commands below it, and was
// given none that it has.
func onlyCommands(c *cobra.Command, given []string) error {
	if len(given) == 0 {
		return c.Help()
	}
	nearest := ""
	if c.SuggestionsMinimumDistance == 0 {
		c.SuggestionsMinimumDistance = 2
	}
	if names := c.SuggestionsFor(given[0]); len(names) > 0 {
		nearest = fmt.Sprintf(", but %q", names[0])
	}
	return usage("%s has no command %q%s; see \"%s --help\"", c.CommandPath(), given[0], nearest, c.CommandPath())
}
