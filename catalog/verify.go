package catalog

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	"github.com/trirank/trirank/internal/atomicfile"
)

// Verify reads all files of the catalogue and compares them with the hashes in its
// description. The embedded sample needs none of that.
func (c *Catalog) Verify() error {
	if c.where == sampleName {
		return nil
	}
	m, err := readManifest(c.where)
	if err != nil {
		return fmt.Errorf("cannot verify catalogue %s: %w", c.where, err)
	}
	for _, name := range slices.Sorted(maps.Keys(m.Files)) {
		if filepath.Base(name) != name {
			return fmt.Errorf("cannot verify catalogue %s: %q is not a plain file name (import again)", c.where, name)
		}
		sum, err := atomicfile.SHA256(filepath.Join(c.where, name))
		if err != nil {
			return fmt.Errorf("cannot verify catalogue %s: %w", c.where, err)
		}
		if want := m.Files[name].SHA256; sum != want {
			return fmt.Errorf("cannot verify catalogue %s: %s was changed: its SHA-256 is %.12s…, not %.12s… (import again)", c.where, name, sum, want)
		}
	}
	return nil
}
