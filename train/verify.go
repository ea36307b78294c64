package train

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/trirank/trirank/internal/checksum"
	"github.com/trirank/trirank/internal/regular"
)

// Verified says how far a run is that Verify has read.
type Verified struct {
	Checkpoints int
	Done        bool // no step is left to take
}

// Verify reads the checkpoints and the configuration of the run in dir, and returns
// everything that is wrong with them. Metrics and events are logs for people, which a run
// does not go on from, and have no checksums.
func Verify(dir string) (wrong []error, v Verified) {
	bad := func(err error) { wrong = append(wrong, fmt.Errorf("run %s: %w", dir, err)) }
	b, err := regular.ReadFile(filepath.Join(dir, configFile), maxConfig)
	var r record
	if err == nil {
		err = checksum.UnmarshalJSON(b, &r)
	}
	if err == nil {
		err = r.Config.Validate()
	}
	if err != nil {
		bad(fmt.Errorf("%s: %w (begin the run again)", configFile, err))
	}
	names, err := checkpoints(filepath.Join(dir, checkpointsDir))
	if err != nil && !os.IsNotExist(err) {
		bad(err)
	}
	for _, name := range names {
		s, _, err := readCheckpoint(filepath.Join(dir, checkpointsDir, name))
		switch {
		case err != nil:
			bad(fmt.Errorf("%w (remove it: --resume goes on from the one before)", err))
		case checkpointName(s.Step) != name:
			bad(fmt.Errorf("checkpoint %s is of step %d", name, s.Step))
		default:
			v.Done = done(&s, r.Steps, r.Config.Patience)
		}
	}
	v.Checkpoints = len(names)
	return wrong, v
}
