// Package beside finds what lies in the folder of the running program: its libraries
// and models.
package beside

import (
	"os"
	"path/filepath"
)

// Path joins elem to the folder of the running program: of the file itself, where the
// program was started by a link to it. Whether there is anything is not looked at.
func Path(elem ...string) (string, error) {
	exe, err := os.Executable()
	if err != nil {
		return "", err
	}
	if real, err := filepath.EvalSymlinks(exe); err == nil {
		exe = real
	}
	return filepath.Join(append([]string{filepath.Dir(exe)}, elem...)...), nil
}
