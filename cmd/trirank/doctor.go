package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/trirank/trirank/catalog"
	"github.com/trirank/trirank/engine/store"
)

func newDoctorCommand() *cobra.Command {
	var asJSON bool
	var index, catalogue, addr string
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Check every part of the program and say what is wrong",
		Long: `Doctor loads the libraries, opens the fetched models and runs their self-tests,
and looks at the space on the disk. With --index it opens an index directory, as serve
does: files are compared with their hashes, models are found and tested. With --catalog
it compares a catalogue's files with their hashes, and with --addr it sees whether serve
could listen there.

A line begins with ok, none (there is no GPU, say, and nothing needs one), warn (the
index was built from other contents than those of the catalogue) or BAD. It ends with
status 1 if anything is wrong.`,
		Example: `  trirank doctor
  trirank doctor --index shop.index --catalog shop --addr 127.0.0.1:8080`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			all := append(parts(c.Context(), true), checkDisk("temporary files", os.TempDir(), leastSpace))
			contents := "" // hash of the catalogue's
			if catalogue != "" {
				var p part
				p, contents = checkCatalogue(c.Context(), catalogue)
				all = append(all, p)
			}
			if index != "" {
				all = append(all, checkIndex(c.Context(), index, catalogue, contents)...)
			}
			if addr != "" {
				all = append(all, checkAddress(c.Context(), addr))
			}
			return printParts(c, all, asJSON)
		},
	}
	f := c.Flags()
	f.BoolVar(&asJSON, "json", false, "print JSON")
	f.StringVar(&index, "index", "", "index directory to check as well")
	f.StringVar(&catalogue, "catalog", "", "catalogue directory to check as well")
	f.StringVar(&addr, "addr", "", "address that serve is to listen on, such as 127.0.0.1:8080")
	return c
}

// printParts prints what was found, and returns an error if some of it is wrong.
func printParts(c *cobra.Command, all []part, asJSON bool) error {
	faults := 0
	for _, p := range all {
		mark := "ok  "
		switch {
		case p.Problem != "":
			faults++
			mark, p.Version = "BAD ", p.Problem
		case p.Warning != "":
			mark, p.Version = "warn", p.Warning
		case p.Absent:
			mark, p.Version = "none", strings.TrimPrefix(p.Version, "none: ")
		}
		if !asJSON {
			fmt.Fprintf(c.OutOrStdout(), "%s %-42s %s\n", mark, p.Name, p.Version)
		}
	}
	if asJSON {
		if err := writeJSON(c.OutOrStdout(), all); err != nil {
			return err
		}
	}
	if faults > 0 {
		return fmt.Errorf("%s of %d wrong", plural(faults, "part"), len(all))
	}
	return nil
}

// checkIndex opens an index, and looks for the space that another build of it takes.
// contents, if any, is the hash of the catalogue that it should be of.
func checkIndex(ctx context.Context, dir, catalogue, contents string) []part {
	p := part{Name: "index " + dir}
	x, err := store.Open(ctx, dir, store.OpenOptions{})
	if err != nil {
		p.Problem = err.Error()
		return []part{p}
	}
	m := x.Manifest
	p.Version = fmt.Sprintf("format %d, %s of %s", m.Format, plural(m.Catalogue.Rows, "product"), m.Catalogue.Name)
	bytes := uint64(leastSpace)
	for _, f := range m.Files {
		bytes += uint64(f.Bytes)
	}
	if err := x.Close(); err != nil {
		p.Problem = err.Error()
	}
	if contents != "" && m.Catalogue.Hash != contents {
		// Its own line: the index is whole, and the two may be meant to differ.
		return []part{p, {Name: "index and catalogue", Warning: fmt.Sprintf("%s was built from other contents than those of %s: %.12s, not %.12s (build it anew: trirank index --catalog %s --out %s)",
			dir, catalogue, m.Catalogue.Hash, contents, catalogue, dir)}, checkDisk("index "+dir, filepath.Dir(filepath.Clean(dir)), bytes)}
	}
	return []part{p, checkDisk("index "+dir, filepath.Dir(filepath.Clean(dir)), bytes)}
}

// checkCatalogue verifies a catalogue, and returns the hash of its contents.
func checkCatalogue(ctx context.Context, name string) (p part, contents string) {
	p = part{Name: "catalogue " + name}
	wrong, err := catalog.Verify(ctx, name)
	if len(wrong) > 0 {
		err = wrong[0]
		if more := len(wrong) - 1; more > 0 {
			err = fmt.Errorf("%w (and %d more faults: trirank verify %s lists them)", err, more, name)
		}
	}
	var c *catalog.Catalog
	if err == nil {
		c, err = catalog.Load(name)
	}
	if err != nil {
		p.Problem = err.Error()
		return p, ""
	}
	p.Version = plural(c.Rows(), "product")
	return p, c.Hash()
}

// leastSpace is free where the program can work: 100 MB.
const leastSpace = 100 << 20

// checkDisk looks whether a folder's file system has so many bytes to spare.
func checkDisk(what, dir string, least uint64) part {
	p := part{Name: "disk of " + what}
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		p.Problem = fmt.Sprintf("cannot look for space in %s: there is no such folder (make it, or set TMPDIR to another)", dir)
		return p
	}
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		p.Problem = fmt.Sprintf("cannot look for space in %s: %v", dir, err)
		return p
	}
	free := s.Bavail * uint64(s.Bsize)
	p.Version = fmt.Sprintf("%.1f GB free in %s", float64(free)/1e9, dir)
	if free < least {
		p.Problem = fmt.Sprintf("%.2f GB free in %s, and %.2f GB are needed (make room)", float64(free)/1e9, dir, float64(least)/1e9)
	}
	return p
}

// checkAddress looks whether a server could listen.
func checkAddress(ctx context.Context, addr string) part {
	p := part{Name: "address " + addr}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		p.Problem = fmt.Sprintf("cannot serve on %s: %v (stop what listens there, or choose another with --addr)", addr, err)
		return p
	}
	p.Version = "free"
	if err := ln.Close(); err != nil {
		p.Problem = err.Error()
	}
	return p
}
