// Command trirank compares product-search rankings: BM25, pretrained and
// fine-tuned E5, and fusions of them. Run it with --help.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/trirank/trirank/train/heap"
)

// Set when the program is linked; see the Makefile.
var (
	version    = "dev"
	faissLevel = "" // the vector instructions FAISS was built for
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "train" {
		heap.Keep()
	}
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run is the whole program; it returns the exit status: 0 done, 1 failed, 2
// wrong usage, 130 interrupted.
func run(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ended := make(chan struct{})
	defer close(ended)
	context.AfterFunc(ctx, func() {
		// A second Ctrl-C ends the program at once.
		stop()
		// The server says by itself what it waits for.
		if len(args) > 0 && args[0] == "serve" {
			return
		}
		select {
		case <-ended:
		case <-time.After(time.Second):
			fmt.Fprintln(stderr, "stopping after the step at hand; a second Ctrl-C ends at once")
		}
	})
	root := newRootCommand()
	root.SetArgs(args)
	out := &stdOut{w: stdout}
	root.SetOut(out)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil && out.err != nil {
		err = fmt.Errorf("cannot write to standard output: %w", out.err)
	}
	var usage *wrongUsage
	switch {
	case err == nil:
		return 0
	case errors.As(err, &usage):
		fmt.Fprintf(stderr, "trirank: %v\n", err)
		return 2
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		fmt.Fprintf(stderr, "trirank: interrupted%s\n", resumeHint(args))
		return 130
	default:
		fmt.Fprintf(stderr, "trirank: %v\n", err)
		return 1
	}
}

// stdOut is standard output, which remembers that a write failed: what was lost on a
// full disk must not pass for all there was to say.
type stdOut struct {
	w   io.Writer
	err error
}

// Write implements io.Writer.
func (o *stdOut) Write(b []byte) (int, error) {
	n, err := o.w.Write(b)
	o.err = cmp.Or(o.err, err)
	return n, err
}

// resumeHint says how an interrupted job goes on.
func resumeHint(args []string) string {
	if len(args) == 0 {
		return ""
	}
	switch args[0] {
	case "embed":
		return "; vectors are kept 256 at a time: give the same command with --resume to go on"
	case "train":
		return "; the steps so far are kept: give the same command with --resume to go on"
	case "index":
		return "; vectors are kept 256 at a time: give the same command to go on"
	}
	if slices.Contains(args, "--write") && slices.Contains(args, "quantization") {
		return "; of the models that were compared by then model.json says what they cost" // bench quantization --write
	}
	return "; nothing was changed"
}

// wrongUsage is an error of the command line, for exit status 2.
type wrongUsage struct{ error }

func usageError(format string, args ...any) error {
	return &wrongUsage{fmt.Errorf(format, args...)}
}

func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "trirank",
		Short: "Compare product-search rankings: BM25, pretrained and fine-tuned embeddings",
		Long: `trirank answers every product query with several rankings side by side (BM25,
pretrained E5, fine-tuned E5 and a fusion of them), serves them over HTTP with a
page, and prepares all that they need.`,
		Example: `  trirank index --catalog sample --model pretrained=e5-small-v2 --out shop.index
  trirank search --index shop.index "wireless mouse"
  trirank serve --index shop.index`,
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
	}
	root.Version = version
	root.Flags().Bool("version", false, "print the version")
	root.SetVersionTemplate("trirank {{.Version}}\n")
	root.Args = cobra.ArbitraryArgs
	root.RunE = func(c *cobra.Command, args []string) error {
		if len(args) > 0 {
			return noCommand(c, args[0])
		}
		return c.Help()
	}
	root.PersistentPreRunE = func(c *cobra.Command, _ []string) error {
		if out := c.Flags().Lookup("out"); out != nil && out.Value.String() != "" {
			return checkInside(out.Value.String())
		}
		return nil
	}
	grouping := map[*cobra.Command]bool{root: true} // commands that do nothing by themselves
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		if names := c.Flags().Args(); grouping[c] && len(names) > 0 { // the flags are of what they think there is
			return noCommand(c, names[0])
		}
		return usageError("%v (see %s --help)", plainFlagError(err), c.CommandPath())
	})
	root.AddCommand(
		newImportCommand(), newStatsCommand(), newTrainCommand(), newModelCommand(), newBenchCommand(), newEmbedCommand(), newIndexCommand(),
		newSearchCommand(), newEvalCommand(), newServeCommand(), newDoctorCommand(), newVerifyCommand(), newVersionCommand(),
	)
	root.InitDefaultHelpCmd()
	for _, c := range root.Commands() {
		if c.Name() == "help" { // cobra's own ends with 0 whatever it is asked for
			help := c.Run
			c.Run, c.RunE = nil, func(c *cobra.Command, args []string) error {
				if of, rest, err := root.Find(args); err != nil || of == root && len(args) > 0 || len(rest) > 0 {
					return noCommand(root, strings.Join(args, " "))
				}
				help(c, args)
				return nil
			}
		}
		wrapArgs(c)
		if c.HasSubCommands() && !c.Runnable() {
			grouping[c] = true
			c.Args, c.RunE = root.Args, root.RunE
		}
	}
	return root
}

// plainFlagError says what is wrong with a flag, in place of the words of the library
// that reads it.
func plainFlagError(err error) error {
	var unknown *pflag.NotExistError
	var empty *pflag.ValueRequiredError
	var syntax *pflag.InvalidSyntaxError
	var bad *pflag.InvalidValueError
	switch {
	case errors.As(err, &unknown):
		if unknown.GetSpecifiedShortnames() != "" {
			return fmt.Errorf("there is no flag -%s", unknown.GetSpecifiedName())
		}
		return fmt.Errorf("there is no flag --%s", unknown.GetSpecifiedName())
	case errors.As(err, &empty):
		return fmt.Errorf("--%s needs a value", empty.GetFlag().Name)
	case errors.As(err, &syntax):
		return fmt.Errorf("%s is no flag", syntax.GetSpecifiedFlag())
	case !errors.As(err, &bad):
		return err
	}
	wants := map[string]string{
		"int": "a whole number", "uint64": "a whole number from 0", "float64": "a number", "bool": "true or false",
		"size": "a size such as 64MiB", "duration": "a time such as 300ms, 5s or 2m", "intSlice": "whole numbers with commas between them", "float64Slice": "numbers with commas between them",
		"stringToString": "NAME=VALUE, with commas between several",
	}
	if errors.Is(err, strconv.ErrRange) {
		return fmt.Errorf("--%s %s is too large a number", bad.GetFlag().Name, bad.GetValue())
	}
	if want := wants[bad.GetFlag().Value.Type()]; want != "" {
		return fmt.Errorf("--%s %q is not %s", bad.GetFlag().Name, bad.GetValue(), want)
	}
	return fmt.Errorf("--%s: %w", bad.GetFlag().Name, bad.Unwrap())
}

func noCommand(of *cobra.Command, name string) error {
	_, path, _ := strings.Cut(of.CommandPath()+" "+name, " ")
	return usageError("there is no command %q (see %s --help)", path, of.CommandPath())
}

// wrapArgs turns cobra's complaints about arguments into usage errors, and an
// unknown command into one as well.
func wrapArgs(c *cobra.Command) {
	if check := c.Args; check != nil {
		c.Args = func(c *cobra.Command, args []string) error {
			err := check(c, args)
			if err == nil {
				return nil
			}
			// The library tells how many there are, and not which are wanted.
			switch {
			case !slices.ContainsFunc([]string{"unknown command", "accepts ", "requires at least"}, func(begin string) bool { return strings.HasPrefix(err.Error(), begin) }):
				return usageError("%v (see %s --help)", err, c.CommandPath())
			case c.HasSubCommands():
				return noCommand(c, args[0])
			case len(args) == 0:
				return usageError("%s needs an argument: %s (see %s --help)", c.CommandPath(), c.Use, c.CommandPath())
			case check(c, nil) == nil:
				return usageError("%s takes no argument, and %q is one (see %s --help)", c.CommandPath(), args[0], c.CommandPath())
			}
			return usageError("%s has %s: %s (see %s --help)", c.CommandPath(), plural(len(args), "argument"), c.Use, c.CommandPath())
		}
	}
	for _, sub := range c.Commands() {
		wrapArgs(sub)
	}
}

// required returns a usage error that names the flags without a value.
func required(c *cobra.Command, names ...string) error {
	var missing []string
	for _, n := range names {
		if f := c.Flags().Lookup(n); f.Value.String() == "" || f.Value.String() == "[]" {
			missing = append(missing, "--"+n)
		}
	}
	if missing == nil {
		return nil
	}
	return usageError("%s needs %s (see %s --help)", c.CommandPath(), strings.Join(missing, " and "), c.CommandPath())
}
